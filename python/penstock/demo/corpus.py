"""The text behind the bundled model: small talks about waterworks, tokens, HTTP and engines, drawn from a grammar.

Ours from the first word to the last, and the same for the same seed. No numbers here, only words.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Talk:
    """One question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Topic:
    """The words of one field. Verbs take an object; states are where a thing ends up; whys are half sentences."""

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    places: tuple[str, ...]
    whys: tuple[str, ...]


TOPICS = (
    Topic(
        nouns=("penstock", "reservoir", "turbine", "valve", "spillway", "surge tank", "river", "intake", "dam", "weir"),
        verbs=("feeds", "fills", "slows", "drives", "calms", "guards", "drains"),
        places=("below the dam", "under pressure", "down the valley", "at the foot of the hill", "before the turbine"),
        whys=(
            "so that no water is lost",
            "because water keeps what height has given it",
            "and the pressure grows with every metre",
            "while the snow melts above",
        ),
    ),
    Topic(
        nouns=("token", "prompt", "vocabulary", "sampler", "stop string", "word", "sentence", "template", "answer"),
        verbs=("follows", "shapes", "ends", "names", "opens", "completes", "counts"),
        places=("in the context", "after the prompt", "at the end of the line", "one piece at a time", "in plain text"),
        whys=(
            "so that every letter arrives whole",
            "because a model only knows what came before",
            "and the next one is drawn by chance",
            "while the reader waits",
        ),
    ),
    Topic(
        nouns=("request", "response", "header", "stream", "event", "client", "server", "socket", "proxy", "key"),
        verbs=("opens", "closes", "carries", "answers", "refuses", "keeps", "cancels"),
        places=("over the wire", "at the door", "behind the proxy", "in a single frame", "before the time is up"),
        whys=(
            "so that nobody waits in vain",
            "because an honest error beats a silent one",
            "and the connection stays open",
            "while others are served",
        ),
    ),
    Topic(
        nouns=("engine", "batch", "page", "cache", "slot", "step", "program", "device", "scheduler", "weight"),
        verbs=("fills", "frees", "holds", "runs", "shares", "reads", "compiles"),
        places=("on the device", "in one step", "ahead of time", "from page to page", "without a copy"),
        whys=(
            "so that the device never idles",
            "because memory is the narrow part",
            "and the pages come back at once",
            "while the host prepares the next one",
        ),
    ),
)

_QUESTIONS = (
    "What is the {}?",
    "What does the {} do?",
    "Tell me about the {}.",
    "Why is there no {}?",
    "How does the {} work?",
)


def talks(count: int, *, seed: int) -> list[Talk]:
    """`count` talks; the same seed gives the same ones on every machine (Mersenne Twister, integer draws only)."""
    draw = random.Random(seed)
    return [_talk(draw) for _ in range(count)]


def _talk(draw: random.Random) -> Talk:
    topic = draw.choice(TOPICS)
    subject = draw.choice(topic.nouns)
    sentences = [_sentence(draw, topic, subject)]
    while draw.randrange(5) > 1:
        sentences.append(_sentence(draw, topic, draw.choice(topic.nouns)))
    return Talk(draw.choice(_QUESTIONS).format(subject), " ".join(sentences))


def _sentence(draw: random.Random, topic: Topic, subject: str) -> str:
    verb, thing, place, why = (draw.choice(words) for words in (topic.verbs, topic.nouns, topic.places, topic.whys))
    other = draw.choice(topic.nouns)
    return draw.choice(
        (
            f"The {subject} {verb} the {thing} {place}, {why}.",
            f"The {subject} {verb} every {thing} {place}.",
            f"One {subject} {verb} any {thing}, {why}.",
            f"Each {subject} {place} {verb} the {thing} of the {other}.",
            f"No {subject} {verb} the {thing} alone, {why}.",
        )
    )
