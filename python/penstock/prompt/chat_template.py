"""Chat templates, rendered as transformers renders them: Jinja in a sandbox, with the same filters and variables.

Knows nothing of tokens. A template is the model's, messages are the client's: whatever goes wrong while rendering is
answered as the client's fault, with the template's own words.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from penstock.errors import ApiError, ModelError

Message = Mapping[str, Any]

_RESERVED = frozenset({"messages", "tools", "documents", "add_generation_prompt", "continue_final_message"})
_MAX_RENDERED_CHARS = 64 * 1024 * 1024
_MAX_REASON_CHARS = 300

#: Put behind the final message that is to be continued, and cut off with all that the template writes after it. The
#: blank at its end tells whether the template strips content.
_CONTINUE_MARK = "\ue000continue here\ue000 "


class ChatTemplate:
    """The compiled templates of one model: "default", and perhaps "tool_use" for requests with tools.

    Attributes:
        takes_parts: whether it reads content given as a list of parts; else parts are joined before it sees them.
        takes_strings: whether it reads content given as a string; else a string is wrapped in a part.
        source: the text of all templates.
        variables: the names that its templates read, those that they set themselves among them.
    """

    def __init__(self, sources: Mapping[str, str], *, special_tokens: Mapping[str, Any] | None = None) -> None:
        """Compiles every source. Raises ModelError on one that is no Jinja."""
        self._templates = {name: _compile(name, source) for name, source in sources.items()}
        # What every rendering sees, in one dict: Jinja's functions and the special tokens.
        self._names = {name: {**each.globals, **(special_tokens or {})} for name, each in self._templates.items()}
        self.source = "\n".join(sources.values())
        self.variables = frozenset[str]().union(*map(_names_in, sources.values()))
        self.takes_parts = self._reads([{"type": "text", "text": "penstock"}])
        self.takes_strings = not self.takes_parts or self._reads("penstock")

    @property
    def takes_tools(self) -> bool:
        """Whether it tells the model which tools there are."""
        return "tool_use" in self._templates or "tools" in self.variables

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, special_tokens: Mapping[str, Any]) -> ChatTemplate | None:
        """From chat_template.jinja, else tokenizer_config.json's `chat_template`, a string or a named list; None when
        neither has a default. Raises ModelError on a broken one."""
        sources = _read_sources(folder, config.get("chat_template"))
        return cls(sources, special_tokens=special_tokens) if "default" in sources else None

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt text, special tokens included.

        Args:
            continue_final_message: the text ends where the last message ends, so that the answer goes on from there.
            template_kwargs: further variables, as `enable_thinking`.

        Raises:
            ApiError: the template refuses the messages, or cannot handle them.
        """
        if template_kwargs:
            _check_kwargs(template_kwargs)
        messages = [self._with_content_it_reads(message) for message in messages]
        if continue_final_message:
            messages = _mark_final_message(messages)
        name = "tool_use" if tools and "tool_use" in self._templates else "default"
        names = {
            **self._names[name],
            **(template_kwargs or {}),
            "messages": messages,
            "tools": tools or None,
            "documents": documents or None,
            "add_generation_prompt": add_generation_prompt and not continue_final_message,
        }
        text = _run(self._templates[name], names)
        return _cut_at_mark(text) if continue_final_message else text

    def _with_content_it_reads(self, message: Message) -> Message:
        content = message.get("content")
        if isinstance(content, list) and not self.takes_parts:
            return {**message, "content": "".join(part.get("text", "") for part in content)}
        if isinstance(content, str) and not self.takes_strings:
            return {**message, "content": [{"type": "text", "text": content}]}
        return dict(message)

    def _reads(self, content: Any) -> bool:
        """Whether a user's content of this kind comes out as its text, neither lost nor printed as a structure."""
        names = {"messages": [{"role": "user", "content": content}], "tools": None, "documents": None}
        try:
            text = _run(self._templates["default"], {**self._names["default"], **names, "add_generation_prompt": True})
        except ApiError:
            return False
        return "penstock" in text and "'text'" not in text and '"text"' not in text


class _GenerationTag(jinja2.ext.Extension):
    """{% generation %}…{% endgeneration %} marks what an assistant wrote, for training masks; here it only prints."""

    tags = {"generation"}  # noqa: RUF012  jinja's own declaration

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        return jinja2.nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with a shorter way to what templates read most: a dict's entry, there or not, as
    `message.tool_calls`."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict and attribute not in _DICT_ATTRIBUTES:
            # What the sandbox comes to after it has looked for an attribute in vain.
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)


_DICT_ATTRIBUTES = frozenset(dir(dict))


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models were trained on it: no HTML escapes, no ASCII escapes, keys in the order given."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(format: str) -> str:  # noqa: A002  the name that templates may use
    return datetime.now().strftime(format)


_ENVIRONMENT = _environment()


def _compile(name: str, source: str) -> jinja2.Template:
    try:
        return _ENVIRONMENT.from_string(source)
    except jinja2.TemplateError as error:
        line = f" in line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise ModelError(f'the chat template "{name}" is broken{line}: {error}') from error


def _names_in(source: str) -> set[str]:
    names = _ENVIRONMENT.parse(source).find_all(jinja2.nodes.Name)
    return {name.name for name in names if name.ctx == "load"}


def _read_sources(folder: Path, configured: Any) -> dict[str, str]:
    path = folder / "chat_template.jinja"
    try:
        return {"default": path.read_text(encoding="utf-8")}
    except (FileNotFoundError, NotADirectoryError):  # the latter where the model is one file
        pass
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as UTF-8 text: {error}") from error
    if configured is None:
        return {}
    if isinstance(configured, str):
        return {"default": configured}
    try:
        return {str(entry["name"]): entry["template"] + "" for entry in configured}
    except (TypeError, KeyError) as error:
        raise ModelError(
            f"chat_template in {folder / 'tokenizer_config.json'} is neither a string nor a list of name and template"
        ) from error


def _run(template: jinja2.Template, names: dict[str, Any]) -> str:
    """Renders with `names`, which become the template's own; its globals are among them."""
    pieces, num_chars = [], 0
    # As `template.generate(names)`, which makes the context in three calls, and passes each piece on once more.
    context = _ENVIRONMENT.context_class(_ENVIRONMENT, names, template.name, template.blocks)
    try:
        for piece in template.root_render_func(context):
            pieces.append(piece)
            num_chars += len(piece)
            if num_chars > _MAX_RENDERED_CHARS:
                raise jinja2.TemplateError(f"the rendered chat is longer than {_MAX_RENDERED_CHARS} characters")
    except jinja2.TemplateError as error:
        raise _refused(f"The model's chat template refused the messages: {error}") from error
    except Exception as error:  # a template can fail in any way, on content it did not expect
        raise _refused(
            f"The model's chat template cannot render these messages: {type(error).__name__}: {error}"
        ) from error
    return "".join(pieces)


def _refused(message: str) -> ApiError:
    if len(message) > _MAX_REASON_CHARS:
        message = message[:_MAX_REASON_CHARS] + "…"
    return ApiError("invalid_request", message, param="messages")


def _check_kwargs(kwargs: Mapping[str, Any]) -> None:
    for name in kwargs:
        if name in _RESERVED:
            raise ApiError(
                "invalid_value", f"'chat_template_kwargs' must not set '{name}'.", param="chat_template_kwargs"
            )


def _mark_final_message(messages: Sequence[Message]) -> list[Message]:
    final = copy.deepcopy(dict(messages[-1])) if messages else {}
    content = final.get("content")
    if isinstance(content, str):
        final["content"] = content + _CONTINUE_MARK
        return [*messages[:-1], final]
    for part in reversed(content or []):
        if "text" in part:
            part["text"] += _CONTINUE_MARK
            return [*messages[:-1], final]
    raise _refused("'continue_final_message' needs a final message with text.")


def _cut_at_mark(text: str) -> str:
    at = text.rfind(_CONTINUE_MARK.rstrip())
    if at < 0:
        raise _refused("'continue_final_message' cannot be used: the chat template does not print the final message.")
    return text[:at] if text.startswith(_CONTINUE_MARK, at) else text[:at].rstrip()
