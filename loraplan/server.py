"""The language server: diagnostics while editing, hovers with rules and origins, quick fixes; needs pygls."""

from __future__ import annotations

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from loraplan import __version__
from loraplan.context import words
from loraplan.document import DocumentError
from loraplan.engine import Checker
from loraplan.formats import NotAConfig
from loraplan.origin import Default, Explicit
from loraplan.plan import get, ordered_names
from loraplan.report.replacement import Replacement, of_file
from loraplan.report.text import default_words
from loraplan.result import Diagnostic, FileResult
from loraplan.select import Registry, UnknownSelector
from loraplan.settings import Settings, SettingsError

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "info": types.DiagnosticSeverity.Information,
}

server = LanguageServer("loraplan", __version__)
_found: dict[str, FileResult] = {}


def start() -> None:
    """Serve on standard input and output until the client leaves."""
    server.start_io()


def _check(uri: str) -> None:
    document = server.workspace.get_text_document(uri)
    result = Checker().check(to_fs_path(uri) or uri, text=document.source, named=False)
    items = result.diagnostics if result is not None else []
    shown = [
        types.Diagnostic(
            range=_range(uri, item),
            message=item.message + (f"\n{item.remedy}" if item.remedy else ""),
            severity=_SEVERITIES[item.severity],
            code=item.code,
            source="loraplan",
        )
        for item in items
    ]
    for failure in result.failures if result is not None else []:
        line = failure.position.line - 1 if failure.position else 0
        place = types.Range(types.Position(line, 0), types.Position(line, 0))
        shown.append(
            types.Diagnostic(place, failure.message, severity=types.DiagnosticSeverity.Error, source="loraplan")
        )
    if result is not None:
        _found[uri] = result
    else:
        _found.pop(uri, None)
    server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, shown, version=document.version))


def _diagnostics(uri: str) -> list[Diagnostic]:
    return _found[uri].diagnostics if uri in _found else []


def _range(uri: str, item: Diagnostic) -> types.Range:
    return _units(uri, (item.line, item.column), (item.end_line, item.end_column))


def _units(uri: str, start: tuple[int, int], end: tuple[int, int]) -> types.Range:
    """A range in the client's units: columns count characters here, and in the client's encoding there."""
    document = server.workspace.get_text_document(uri)
    return document.position_codec.range_to_client_units(
        document.lines,
        types.Range(types.Position(start[0] - 1, start[1] - 1), types.Position(end[0] - 1, end[1] - 1)),
    )


@server.feature(types.TEXT_DOCUMENT_DID_OPEN)
def _opened(_: LanguageServer, params: types.DidOpenTextDocumentParams) -> None:
    _check(params.text_document.uri)


@server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
def _changed(_: LanguageServer, params: types.DidChangeTextDocumentParams) -> None:
    _check(params.text_document.uri)


@server.feature(types.TEXT_DOCUMENT_DID_SAVE)
def _saved(_: LanguageServer, params: types.DidSaveTextDocumentParams) -> None:
    _check(params.text_document.uri)


@server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
def _closed(_: LanguageServer, params: types.DidCloseTextDocumentParams) -> None:
    uri = params.text_document.uri
    _found.pop(uri, None)
    server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))


@server.feature(types.TEXT_DOCUMENT_HOVER)
def _hover(_: LanguageServer, params: types.HoverParams) -> types.Hover | None:
    uri, line = params.text_document.uri, params.position.line + 1
    parts = list(_values(uri, line))
    registry = Registry(Settings().packages)
    for code in dict.fromkeys(item.code for item in _diagnostics(uri) if item.line <= line <= item.end_line):
        try:
            parts.append(f"# {code}\n\n{registry.page(registry.find(code))}")
        except UnknownSelector:
            continue
    if not parts:
        return None
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, "\n\n---\n\n".join(parts)))


def _values(uri: str, line: int) -> list[str]:
    """The fields that a line sets, and on the first line the defaults that the framework fills in."""
    source = server.workspace.get_text_document(uri).source
    try:
        readings = Checker().read(to_fs_path(uri) or uri, text=source)[1]
    except (DocumentError, NotAConfig, SettingsError):
        return []
    said: list[str] = []
    for reading in readings:
        for name in ordered_names():
            match reading.origins.get(name):
                case Explicit(span=span) if reading.document.position(span.start)[0] == line:
                    said.append(f"`{name}` = {words(get(reading.plan, name))}")
                case Default() as default if line == 1:
                    value = words(get(reading.plan, name))
                    said.append(f"`{reading.key(name)}` = {value}: {default_words(default)}")
    return ["\n".join(f"- {item}" for item in dict.fromkeys(said))] if said else []


@server.feature(types.TEXT_DOCUMENT_CODE_ACTION)
def _actions(_: LanguageServer, params: types.CodeActionParams) -> list[types.CodeAction]:
    uri, lines = params.text_document.uri, range(params.range.start.line + 1, params.range.end.line + 2)
    if uri not in _found:
        return []
    actions = []
    for item, edits in of_file(_found[uri]):
        if item.fix is not None and item.line in lines:
            change = types.WorkspaceEdit({uri: [_edit(uri, edit) for edit in edits]})
            actions.append(
                types.CodeAction(f"{item.code}: {item.fix.title}", types.CodeActionKind.QuickFix, edit=change)
            )
    return actions


def _edit(uri: str, edit: Replacement) -> types.TextEdit:
    return types.TextEdit(_units(uri, edit.start, edit.end), edit.text)
