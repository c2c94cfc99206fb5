"""Makes contacts.csv: invented people, as untidy as a real export. The same seed gives the same file.

    python examples/make_contacts.py                     rewrite examples/contacts.csv
    python examples/make_contacts.py 100000 big.csv      more of the same, elsewhere

All addresses are in example.com, example.org and example.net; all numbers are in ranges kept free for fiction.
About nine rows in ten can be delivered to HubSpot, after trimming; the rest have no address or a broken one.
Four lines are beyond repair on purpose: they show what an import does with them.
"""

import csv
import io
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

ROWS = 2_400
SEED = 20_240_229
HEADER = ("Email", "Name", "Phone Number", "Domain ID", "Page ID")
DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "team.example.org", "shop.example.net")

# given names and family names, each as written and as typed into an address
PEOPLE: dict[str, tuple[str, str]] = {
    "western": (
        """Ada:ada Zoë:zoe José:jose Łukasz:lukasz Siân:sian François:francois Åsa:asa Jürgen:juergen Nuño:nuno
        Eszter:eszter Renée:renee Ólafur:olafur Mária:maria Seán:sean Chloé:chloe Bjørn:bjoern İpek:ipek Jo:jo""",
        """Núñez:nunez O'Neil:oneil Smith-Jones:smith-jones Łęcki:lecki Müller:mueller Đorđević:djordjevic
        Ångström:angstrom Çelik:celik Škoda:skoda Żak:zak Weiß:weiss Sørensen:soerensen D'Arcy:darcy Ionescu:ionescu""",
    ),
    "vietnamese": ("Nguyệt:nguyet Đức:duc Hồng:hong Tuấn:tuan", "Nguyễn:nguyen Trần:tran Phạm:pham Đặng:dang"),
    "greek": ("Ελένη:eleni Γιώργος:giorgos Μαρία:maria", "Παπαδοπούλου:papadopoulou Νικολάου:nikolaou"),
    "cyrillic": (
        "Олена:olena Иван:ivan Ђорђе:djordje Ольга:olga",
        "Шевченко:shevchenko Иванов:ivanov Петровић:petrovic",
    ),
    "armenian": ("Անահիտ:anahit Արամ:aram", "Պետրոսյան:petrosyan Սարգսյան:sargsyan"),
    "georgian": ("ნინო:nino გიორგი:giorgi", "ბერიძე:beridze კაპანაძე:kapanadze"),
    "hebrew": ("נועה:noa דוד:david", "כהן:cohen לוי:levi"),
    "arabic": ("ليلى:layla محمد:mohamed سارة:sara", "حداد:haddad المصري:almasri"),
    "persian": ("شیرین:shirin آرش:arash", "رضایی:rezaei کریمی:karimi"),
    "devanagari": ("प्रिया:priya अर्जुन:arjun", "शर्मा:sharma पटेल:patel"),
    "tamil": ("கவிதா:kavitha முருகன்:murugan", "சுப்பிரமணியன்:subramanian ராமன்:raman"),
    "thai": ("สมชาย:somchai มาลี:malee", "ใจดี:jaidee สุขใจ:sukjai"),
    "han": ("丽:li 伟:wei 美玲:meiling", "王:wang 陳:chen 欧阳:ouyang"),
    "kana": ("さくら:sakura ひろし:hiroshi ケン:ken", "さとう:sato すずき:suzuki タナカ:tanaka"),
    "hangul": ("민준:minjun 서연:seoyeon", "김:kim 박:park 이:lee"),
    "ethiopic": ("ሰላም:selam አበበ:abebe", "ታደሰ:tadesse በቀለ:bekele"),
}
FAMILY_FIRST = {"vietnamese", "han", "kana", "hangul"}


def make_rows(count: int, seed: int = SEED) -> Iterator[list[str]]:
    """The data rows; every row has as many fields as HEADER."""
    dice = random.Random(seed)
    known: list[tuple[str, str]] = []
    for number in range(count):
        name, address = _person(dice, number)
        kind = dice.random()
        if kind < 0.04:
            email = ""
        elif kind < 0.10:
            email = _broken(dice, address)
        elif kind < 0.14 and known:
            name, address = dice.choice(known)  # someone who is there already, the address spelled another way
            email = _untidy(dice, address)
        else:
            known.append((name, address))
            email = _untidy(dice, address) if kind < 0.34 else address
        yield [email, name, _phone(dice), _uuid(dice, 0.8), _uuid(dice, 0.5)]


def write(file: io.TextIOBase, count: int, seed: int = SEED) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    unusable = iter(
        [
            "one.field@example.com\n",
            "page.id@example.com,Page Id,,,not-a-uuid\n",
            'open.quote@example.com,"Open Quote,,,\n',
            ",,,,\n",
        ]
    )
    for number, row in enumerate(make_rows(count, seed), start=1):
        writer.writerow(row)
        if number % max(count // 5, 1) == 0:
            file.write(next(unusable, ""))


def _person(dice: random.Random, number: int) -> tuple[str, str]:
    script = dice.choice(list(PEOPLE)) if dice.random() < 0.45 else "western"
    given, family = (dice.choice(names.split()).split(":") for names in PEOPLE[script])
    local = dice.choice([f"{given[1]}.{family[1]}", f"{given[1][0]}{family[1]}", f"{given[1]}_{family[1]}"])
    address = f"{local}{number}@{dice.choice(DOMAINS)}"
    if dice.random() < 0.03:
        address = address.replace("@", "+news@")
    parts = [family[0], given[0]] if script in FAMILY_FIRST else [given[0], family[0]]
    name = ("" if script == "han" else " ").join(parts)
    spellings: list[tuple[float, Callable[[], str]]] = [
        (0.06, lambda: given[0]),  # one word
        (0.04, lambda: ""),
        (0.03, lambda: name.upper()),
        (0.03, lambda: name.lower()),
        (0.03, lambda: f"  {name} "),
        (0.02, lambda: name.replace(" ", "\u00a0\u00a0")),
        (0.02, lambda: f"{family[0]}, {given[0]}"),
        (0.02, lambda: f"Dr. {name}"),
        (0.01, lambda: f"{given[0]} “{given[0][:2]}” {family[0]}"),
        (0.01, lambda: f'{given[0]} "{given[0][:2]}" {family[0]}'),
        (0.01, lambda: f"{name} 🌻"),
        (0.01, lambda: f"{given[0]}\n{family[0]}"),
    ]
    roll = dice.random()
    for share, spell in spellings:
        if roll < share:
            return spell(), address
        roll -= share
    return name, address


def _untidy(dice: random.Random, address: str) -> str:
    """The same address for HubSpot, which trims it and makes it lower case."""
    return dice.choice(
        [address.upper(), address.title(), f" {address}", f"{address}  ", f"\t{address}", address.capitalize()]
    )


def _broken(dice: random.Random, address: str) -> str:
    local, domain = address.split("@")
    return dice.choice(
        [
            local,
            f"{local}@",
            f"@{domain}",
            f"{local}@@{domain}",
            f"{local}@{domain.split('.')[0]}",
            f"{local}@{domain.replace('.', ',')}",
            f"{local} at {domain}",
            f"{local}@{domain}.",
            f"{local}@ {domain}",
            f"{local}..x@{domain}",
            "n/a",
            "none",
            "-",
        ]
    )


def _phone(dice: random.Random) -> str:
    if dice.random() < 0.25:
        return ""
    us, uk = f"{dice.randrange(100, 200):04d}", f"{dice.randrange(1000):03d}"
    return dice.choice(
        [
            f"(202) 555-{us}",
            f"+1 202-555-{us}",
            f"1.202.555.{us}",
            f"202555{us}",
            f"+44 7700 900{uk}",
            f"07700 900{uk}",
            f"+44 (0)20 7946 0{uk}",
            f"+1 (202) 555-{us} ext. {dice.randrange(1, 99)}",
        ]
    )


def _uuid(dice: random.Random, share: float) -> str:
    return str(UUID(int=dice.getrandbits(128), version=4)) if dice.random() < share else ""


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("contacts.csv")
    with target.open("w", encoding="utf-8", newline="") as opened:
        write(opened, count)
    print(f"{target}: {count:,} contacts and 4 lines beyond repair")
