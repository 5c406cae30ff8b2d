"""Changes to inputs that are JSON behind a few bytes of choices: values put elsewhere, taken away, doubled, replaced by odd ones."""

import json
import random

import atheris

ODD = [
    None, True, 0, -1, 1e300, 10**25, 10**400, 2**63, 0.1, "", "0", "-1", "²", "\0", "\ud800", "9" * 400, "9" * 4400, "1e999", "../..", "💥", "{{²}}", "a" * 3000, [], {},
    [[]], {"": {}}, [None], "wamid.1", "text", "image", "failed", "131047", "2026-02-30T25:61:00Z", "+49 151 12345678", "=1+1", "%00", "{", "😀" * 20, " ",
]  # fmt: skip
NUMBERS_AS_THEY_STAND = ["1e999", "NaN", "-Infinity", "9" * 4400, "1E400", "-0", "0.1e-400"]


class Changes:
    """`prefix`: how many bytes stand before the JSON."""

    def __init__(self, seeds, prefix: int):
        self.prefix = prefix
        self.values = list(ODD)
        for seed in seeds:
            try:
                self.values += [container[key] for container, key in places([json.loads(seed[prefix:])])]
            except ValueError:
                continue

    def mutate(self, data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.3:
            return atheris.Mutate(data, max_size)
        head, body = bytearray(data[: self.prefix].ljust(self.prefix, b"\0")), data[self.prefix :]
        if head and chance.random() < 0.3:
            head[chance.randrange(self.prefix)] = chance.randrange(256)
        try:
            body = self.changed(json.loads(body), chance)
        except (ValueError, RecursionError):
            return atheris.Mutate(data, max_size)
        made = bytes(head) + body
        return made if len(made) <= max_size else atheris.Mutate(data, max_size)

    def changed(self, value, chance: random.Random) -> bytes:
        whole = [value]
        for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
            container, key = chance.choice(places(whole) or [(whole, 0)])
            how = chance.choice(("put", "put", "put", "drop", "double", "wrap"))
            if how == "put" or container is whole:
                container[key] = chance.choice(self.values)
            elif how == "drop":
                del container[key]
            elif how == "wrap":
                container[key] = chance.choice(([container[key]], {"type": container[key]}, str(container[key])[:200]))
            elif isinstance(container, list):
                container.append(container[key])
            else:
                container[str(chance.choice(self.values))[:40]] = container[key]
            whole = json.loads(json.dumps(whole))  # no part is in two places
        text = json.dumps(whole[0], ensure_ascii=chance.random() < 0.7)
        if chance.random() < 0.05:
            text = text.replace(": 0", f": {chance.choice(NUMBERS_AS_THEY_STAND)}", 1).replace(": null", f": {chance.choice(NUMBERS_AS_THEY_STAND)}", 1)
        return text.encode("utf-8", "surrogatepass")


def places(part) -> list[tuple]:
    """Every (container, key) of a JSON value, outermost first."""
    keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else []
    return [(part, key) for key in keys] + [place for key in keys for place in places(part[key])]
