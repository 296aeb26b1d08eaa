"""What is known of the service's models: its own catalogue first, then a dated table for when that cannot be had.

The one place that says what a model can do and costs, and who said so. Decides; asks nobody: :class:`KnownModels` is
made of what ``hooks`` has asked for. An id that no source has is accepted, since models come and go within weeks. The
table is a third party's copy of the service's catalogue; the service's own pages named other prices at that time, and
where such a figure was higher, it counts for a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from airflow_provider_nanostt.common.errors import InvalidInput

YOUTUBE_MODEL = "youtube"
"""The model that transcripts of videos have here; the service has no name for it."""

YOUTUBE_PRICE = 0.01
"""USD for each video that has a transcript."""

DEFAULT_MODEL = "Whisper-Large-V3"
"""What the service takes when no model is named."""

TABLE_DATE = "2026-08-24"
TABLE = f"the built-in table of {TABLE_DATE}"
"""What messages call the table."""

DOCUMENTATION = "the service's documentation of August 2026"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model can do; None where nobody has said.

    :param diarizes: whether it tells speakers apart.
    :param gives_times: whether its words have times, seconds.
    :param takes_video: whether it takes video files.
    :param max_seconds: the longest audio that it takes.
    :param max_bytes: the largest file that it takes.
    """

    diarizes: bool | None = None
    gives_times: bool | None = None
    takes_video: bool | None = None
    max_seconds: float | None = None
    max_bytes: int | None = None

    def or_else(self, other: Abilities) -> Abilities:
        """Return these, and of another source what this one does not say."""
        both = ((getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return Abilities(*(theirs if mine is None else mine for mine, theirs in both))


@dataclass(frozen=True, slots=True)
class AudioModel:
    """A model in the service's catalogue.

    :param price_per_minute: USD; None if it has none that can be believed.
    :param can: what it says of the model's abilities.
    :param raw: the whole entry.
    """

    id: str
    name: str
    price_per_minute: float | None
    can: Abilities = field(default_factory=Abilities)
    raw: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Price:
    """USD per minute of audio, and who said so.

    :param per_minute: None if nobody knows.
    :param source: who says so, with the date.
    :param at_most: what counts against a limit: the highest figure seen; None if that is ``per_minute``.
    :param at_most_source: who says that, with the date.
    """

    per_minute: float | None
    source: str
    at_most: float | None = None
    at_most_source: str = ""

    @property
    def for_limit(self) -> float | None:
        """USD per minute that count against a limit."""
        return self.per_minute if self.at_most is None else self.at_most


@dataclass(frozen=True, slots=True)
class TableRow:
    """One model of the built-in table.

    :param per_minute: USD, in the catalogue of that day.
    :param highest: the highest price seen, USD per minute, and where; None if that is ``per_minute``.
    """

    id: str
    per_minute: float
    can: Abilities
    highest: tuple[float, str] | None = None

    @property
    def price(self) -> Price:
        """Its price where neither the catalogue nor the connection has one."""
        return Price(self.per_minute, TABLE, *(self.highest or ()))


_TEXT = Abilities(diarizes=False, gives_times=False, takes_video=False)
_SPEAKERS = Abilities(diarizes=True, gives_times=True, takes_video=False)
_OPEN = Abilities(takes_video=False)  # whether it has speakers and times is not documented
_MINI = "gpt-4o-mini-transcribe"

KNOWN_MODELS: dict[str, TableRow] = {
    row.id: row
    for row in (
        TableRow("Whisper-Large-V3", 0.000495, _TEXT, highest=(0.01, DOCUMENTATION)),
        TableRow("whisper-1", 0.0102, _OPEN),
        TableRow("Wizper", 0.017, _TEXT),
        TableRow("Elevenlabs-STT", 0.051, _SPEAKERS),
        TableRow("Elevenlabs-Scribe-V2", 0.051, _SPEAKERS),
        *(
            # "-latest" is documented and was not in the catalogue; it costs what its siblings do.
            TableRow(f"{_MINI}{version}", 0.0051, _TEXT.or_else(Abilities(max_seconds=1400)))
            for version in ("", "-2025-03-20", "-2025-12-15", "-latest")
        ),
        TableRow("openai-whisper-with-video", 0.102, Abilities(diarizes=False, gives_times=False, takes_video=True)),
        TableRow("microsoft/mai-transcribe-1.5", 0.0102, _OPEN),
        TableRow("nvidia/nemotron-asr-multilingual/asr", 0.0136, _TEXT),
        TableRow("xai/speech-to-text/v1", 0.002834, _SPEAKERS),
        TableRow("fun-asr-flash-2026-06-15", 0.003689, _OPEN),
    )
}


def clones_voices(model: str) -> bool:
    """Return whether a model makes speech; whatever its price in the catalogue, it does not transcribe."""
    return model.strip().lower().replace("_", "-").endswith("voice-clone")


def check_name(model: str) -> None:
    """Raise InvalidInput for a model that does not transcribe."""
    if not model.strip():
        raise InvalidInput(f"model is empty; the default is {DEFAULT_MODEL!r}")
    if clones_voices(model):
        raise InvalidInput(f"model={model!r} clones voices, it does not transcribe; use for example {DEFAULT_MODEL!r}")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model, each fact from the source that counts."""

    id: str
    price: Price
    can: Abilities


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact of a model that the built-in table and the catalogue do not agree about."""

    model: str
    what: str
    table: str
    catalogue: str

    @property
    def is_price(self) -> bool:
        """Whether it is the price."""
        return self.what == "the price"


@dataclass(frozen=True, slots=True)
class KnownModels:
    """All that is known of models at one time. Without anything, that is the built-in table.

    :param listed: the service's catalogue by id; None if it could not be had.
    :param as_of: the day on which it was had, UTC.
    :param own: USD per minute by model, from the connection's extra ``prices``.
    :param said: the models of which :meth:`news` has spoken.
    """

    listed: Mapping[str, AudioModel] | None = None
    as_of: str = ""
    own: Mapping[str, float] = field(default_factory=dict)
    said: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def source(self) -> str:
        """What messages call the source of most facts."""
        return TABLE if self.listed is None else f"the service's catalogue of {self.as_of}"

    def facts(self, model: str) -> ModelFacts:
        """Return what is known of a model: the catalogue counts, then the connection, then the table."""
        entry, row = (self.listed or {}).get(model), KNOWN_MODELS.get(model)
        can = (entry.can if entry else Abilities()).or_else(row.can if row else Abilities())
        return ModelFacts(model, self._price(model), can)

    def all(self) -> list[ModelFacts]:
        """Return the facts of every model that transcribes: of the catalogue, if there is one, else of the table."""
        names = KNOWN_MODELS if self.listed is None else self.listed
        return [self.facts(name) for name in names if not clones_voices(name)]

    def able(self, ability: str) -> str:
        """Return the models that have an ability, by its name in :class:`Abilities`, as a list for a message."""
        return ", ".join(repr(one.id) for one in self.all() if getattr(one.can, ability)) or "another model"

    def check(self, model: str, *, diarize: bool, tag_audio_events: bool) -> None:
        """Raise InvalidInput for options that a model is known not to have."""
        asked = "diarize" if diarize else "tag_audio_events" if tag_audio_events else ""
        if asked and self.facts(model).can.diarizes is False:
            raise InvalidInput(
                f"{asked}=True does not work with model={model!r}, says {self._who_says(model)}; "
                f"it needs {self.able('diarizes')}"
            )

    def differences(self) -> list[Difference]:
        """Return what the built-in table has wrong, by the catalogue; what either does not say is no difference."""
        listed = {name: entry for name, entry in (self.listed or {}).items() if not clones_voices(name)}
        found = [Difference(name, "it", "missing", "there") for name in listed if name not in KNOWN_MODELS]
        for name, row in KNOWN_MODELS.items():
            if (entry := listed.get(name)) is None:
                found.append(Difference(name, "it", "there", "missing"))
                continue
            if entry.price_per_minute is not None and abs(entry.price_per_minute - row.per_minute) > 1e-9:
                prices = (f"${usd:g}/min" for usd in (row.per_minute, entry.price_per_minute))
                found.append(Difference(name, "the price", *prices))
            for one in fields(Abilities):
                ours, theirs = getattr(row.can, one.name), getattr(entry.can, one.name)
                if None not in (ours, theirs) and ours != theirs:
                    found.append(Difference(name, one.name, str(ours), str(theirs)))
        return found

    def has_vanished(self, model: str) -> bool:
        """Return whether the service had a model once, and does not list it any more."""
        return self.listed is not None and model not in self.listed and model in KNOWN_MODELS

    def news(self, model: str) -> str:
        """Return what a user should know of a model that is not where it should be; empty after the first time."""
        is_known = model in (self.listed or ()) or (self.listed is None and model in KNOWN_MODELS)
        if is_known or model in self.said:
            return ""
        self.said.add(model)
        what = f"Model {model!r} is not in {TABLE}"
        if self.has_vanished(model):
            what = f"Model {model!r} is in {TABLE} and not in {self.source}"
        elif self.listed is not None:
            what = f"{what}, nor in {self.source}"
        return f"{what}; it is submitted all the same, and the service decides"

    def _price(self, model: str) -> Price:
        entry = (self.listed or {}).get(model)
        if entry is not None and entry.price_per_minute is not None:
            return Price(entry.price_per_minute, self.source)
        if model in self.own:
            return Price(self.own[model], "the connection")
        if model in KNOWN_MODELS:
            known = KNOWN_MODELS[model].price
            # The catalogue has a price that cannot be believed, or none: the old one is not the most that it can cost.
            return known if entry is None else Price(known.per_minute, known.source, *self._highest())
        return Price(None, "nobody", *self._highest())

    def _highest(self) -> tuple[float, str]:
        """Return the highest price of any model, USD per minute, and where it was seen."""
        seen = [(*(row.highest or (row.per_minute, TABLE)), row.id) for row in KNOWN_MODELS.values()]
        seen += [(one.price_per_minute or 0.0, self.source, one.id) for one in (self.listed or {}).values()]
        usd, source, name = max(one for one in seen if not clones_voices(one[2]))
        return usd, f"of {name!r} in {source}"

    def _who_says(self, model: str) -> str:
        entry = (self.listed or {}).get(model)
        return TABLE if entry is None or entry.can.diarizes is None else self.source
