"""The demo's data: café orders as people text them, and the strict ticket that the kitchen wants.

Written for this project; nothing is copied from anywhere. `python -m loraplan.training.demo.orders` writes the two
files again, the same bytes each time. No message of the held-out part is in the training part, and no name of its is.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import NamedTuple

TRAIN, HELD_OUT = 360, 60
PROMPT = "Order: {}\nTicket (name | time | items):"
_SEED = 20250

_TRAIN_NAMES = """Amara Ben Chloe Dmitri Elena Farid Grace Hiro Imani Jonas Kavya Liam Mei Noor Oscar Paula Quentin Rosa
Samir Tomas Uma Victor Wendy Yusuf Zara Anders Bianca Carlos Daria Ewan Fiona Gustav Hannah Ivan Judith Kofi Leila
Marta Nils Olga Petra Rahul Sofia Theo Ursula Vera Willem Ximena Yara Zoltan""".split()
_HELD_OUT_NAMES = (
    "Agnes Bruno Celine Dario Esther Felix Gita Hugo Ingrid Jamal Klara Luca Mira Nadia Otto Priya".split()
)

# What is sold, its plural, and what can be asked for with it.
_DRINKS = {
    "flat white": ("flat whites", ("oat milk", "extra hot", "decaf")),
    "latte": ("lattes", ("oat milk", "soy milk", "decaf", "vanilla")),
    "cappuccino": ("cappuccinos", ("extra hot", "soy milk", "no cocoa")),
    "espresso": ("espressos", ("decaf", "double")),
    "green tea": ("green teas", ("honey", "lemon")),
    "hot chocolate": ("hot chocolates", ("no cream", "oat milk")),
    "iced coffee": ("iced coffees", ("no sugar", "oat milk")),
    "orange juice": ("orange juices", ("no ice",)),
    "lemonade": ("lemonades", ("no ice",)),
}
_FOOD = {
    "croissant": ("croissants", ("warmed up",)),
    "cheese toastie": ("cheese toasties", ("no onion", "gluten-free")),
    "blueberry muffin": ("blueberry muffins", ("warmed up",)),
    "bagel": ("bagels", ("toasted", "gluten-free")),
    "tuna sandwich": ("tuna sandwiches", ("no onion", "no mayo")),
    "lentil soup": ("lentil soups", ("no bread",)),
    "banana bread": ("banana breads", ("toasted",)),
    "cinnamon bun": ("cinnamon buns", ("warmed up",)),
}
_MENU = {**_DRINKS, **_FOOD}
_WORDS = "one two three four five six seven eight nine ten eleven twelve".split()

_OPENINGS = ("hi, ", "hey! ", "hello, ", "morning! ", "", "", "", "ok so ")
_ASKS = ("can i get ", "could we have ", "i'd love ", "put me down for ", "we'd like ", "i need ", "just ")
_CLOSINGS = ("", "", "", " thanks!", " cheers", " thank you", " ta")


class Example(NamedTuple):
    """One message and its ticket."""

    message: str
    ticket: str

    def row(self) -> str:
        """As a line of the data set."""
        return json.dumps({"prompt": PROMPT.format(self.message), "completion": f" {self.ticket}"}, ensure_ascii=False)


class _Item(NamedTuple):
    said: str
    written: str


def examples() -> tuple[list[Example], list[Example]]:
    """The training part and the held-out part."""
    random = Random(_SEED)  # noqa: S311 - examples, no secrets
    seen: set[str] = set()
    return _draw(random, _TRAIN_NAMES, TRAIN, seen), _draw(random, _HELD_OUT_NAMES, HELD_OUT, seen)


def _draw(random: Random, names: list[str], count: int, seen: set[str]) -> list[Example]:
    drawn: list[Example] = []
    while len(drawn) < count:
        example = _example(random, random.choice(names))
        if example.message not in seen:
            seen.add(example.message)
            drawn.append(example)
    return drawn


def _example(random: Random, name: str) -> Example:
    items = [_item(random, kind) for kind in random.sample(list(_MENU), random.choices((1, 2, 3), (5, 5, 1))[0])]
    said_time, time = _time(random)
    listed = " and ".join(filter(None, (", ".join(item.said for item in items[:-1]), items[-1].said)))
    message = random.choice(_OPENINGS) + _placed(random, listed, said_time, name) + random.choice(_CLOSINGS)
    return Example(_typed(random, message), f"{name} | {time} | {'; '.join(item.written for item in items)}")


def _item(random: Random, kind: str) -> _Item:
    plural, extras = _MENU[kind]
    count = random.choices((1, 2, 3, 4, 6), (8, 6, 3, 1, 1))[0]
    if count == 1:
        article = "an" if kind[0] in "aeiou" else "a"
        said = f"{random.choice((article, article, 'one', '1'))} {kind}"
    else:
        ways = {2: ("two", "2", "a couple of", "2x"), 6: ("six", "6", "half a dozen")}
        said = f"{random.choice(ways.get(count, (_WORDS[count - 1], str(count), f'{count}x')))} {plural}"
    if random.random() < 0.35:
        extra = random.choice(extras)
        said += random.choice((f" with {extra}", f" ({extra})")) if extra in _WITH else f" ({extra})"
        return _Item(said, f"{count} {kind} ({extra})")
    return _Item(said, f"{count} {kind}")


_WITH = frozenset(
    ("oat milk", "soy milk", "honey", "lemon", "vanilla", "no onion", "no mayo", "no sugar", "no ice", "no cream")
)


def _time(random: Random) -> tuple[str, str]:
    """A time of the café's day, 07:00 to 17:45, as it is said and as it is written."""
    hour, minute = random.randint(7, 17), random.choice((0, 0, 15, 30, 30, 45))
    written = f"{hour:02}:{minute:02}"
    near = (hour - 1) % 12
    half = "am" if hour < 12 else "pm"
    said = [written, f"{near + 1}.{minute:02}{half}" if minute else f"{near + 1}{half}"]
    if minute == 0:
        said += ["noon"] if hour == 12 else [f"{_WORDS[near]} o'clock"]
    else:
        said.append(
            {15: "quarter past ", 30: "half past ", 45: "quarter to "}[minute] + _WORDS[(near + (minute == 45)) % 12]
        )
    return random.choice(said), written


def _placed(random: Random, items: str, time: str, name: str) -> str:
    ask = random.choice(_ASKS)
    return random.choice(
        (
            f"{ask}{items} for {time}, name is {name}.",
            f"{ask}{items}. picking up at {time}. {name}",
            f"{name} here, {ask}{items}, i'll be there at {time}.",
            f"this is {name}. {ask}{items} at {time} please.",
            f"at {time} {ask}{items}? it's for {name}.",
            f"order for {name}: {items}, collect {time}.",
        )
    )


def _typed(random: Random, message: str) -> str:
    """As typed on a phone: some begin with a capital, some drop punctuation."""
    if random.random() < 0.4:
        message = message[0].upper() + message[1:]
    if random.random() < 0.2:
        message = message.rstrip(".!")
    return message


def write(directory: Path) -> None:
    """Write `train.jsonl` and `held_out.jsonl`."""
    for name, part in zip(("train", "held_out"), examples(), strict=True):
        (directory / f"{name}.jsonl").write_text("".join(f"{item.row()}\n" for item in part), encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parent / "data")
