"""Development tasks; `nox -l` lists them."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True


def _project(session: nox.Session, *groups: str) -> None:
    session.install("-e", ".")
    for group in groups:
        session.install(*nox.project.dependency_groups(nox.project.load_toml(), group))


@nox.session
def lint(session: nox.Session) -> None:
    """Style and spelling."""
    _project(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict."""
    _project(session, "lint")
    session.run("mypy")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Every fast test, the trainer's on a CPU among them."""
    _project(session, "test")
    session.install("-e", ".[train]", "-c", "tests/constraints.txt")
    session.run("pytest", *session.posargs)


@nox.session
def oracle(session: nox.Session) -> None:
    """Slow tests: architectures, resolved configs and memory against transformers, peft and trl themselves."""
    _project(session, "test")
    # A CPU build is enough: every model is on the meta device.
    session.install(
        "torch==2.13.0", "transformers==5.23.0", "peft==0.21.2", "trl==1.16.0", "accelerate", "timm==1.0.31"
    )
    # Frameworks whose parsers and schemas read configs; what they need to train is not needed for that.
    session.install("omegaconf", "requests", "certifi", "httpx", "addict", "art", "pillow")
    session.install(
        "--no-deps", "oumi==0.9", "litgpt==0.5.13", "mlx-lm==0.32.2", "torchtune==0.6.1", "nemo-automodel==0.7.0",
        "unsloth==2026.10.9", "autotrain-advanced==0.8.36", "axolotl==0.19.0", "antlr4-python3-runtime==4.9.3",
    )  # fmt: skip
    session.run("pytest", "-m", "slow", *session.posargs)
    # LLaMA-Factory takes no newer transformers: both stand before the others on the path, in a folder of their own.
    apart = f"{session.create_tmp()}/llamafactory"
    session.install(
        "--no-deps", "--target", apart, "llamafactory==0.9.5", "transformers==5.6.0", "huggingface-hub==1.33.0",
        "tokenizers==0.22.1",
    )  # fmt: skip
    session.run("pytest", "-m", "slow", "-k", "llamafactory", *session.posargs, env={"PYTHONPATH": apart})


@nox.session
def fuzz(session: nox.Session) -> None:
    """A minute of random and mutated input for every reader, and the long properties."""
    _project(session, "test")
    session.run("pytest", "-m", "fuzz")
    session.run("python", "bench/fuzz.py", *(session.posargs or ["60"]))


@nox.session
def docs(session: nox.Session) -> None:
    """Rewrite the generated pages; `-- --check` fails if they differ."""
    _project(session)
    session.run("python", "docs/generate.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Speed against yamllint (needs hyperfine) and hits per rule over a corpus."""
    _project(session)
    session.install("yamllint")
    session.run("python", "bench/speed.py", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """sdist and wheel, and what the wheel holds."""
    session.install("build")
    session.run("python", "-m", "build")
