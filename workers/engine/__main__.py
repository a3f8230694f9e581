"""`python -m workers.engine engine.json`: load one model, try it, serve it on the loopback, drain on SIGTERM.

`ready_file` appears once a token was generated and the port listens. When the model cannot be served, the error file
beside it says why in one sentence and the process ends with 2.
"""

import asyncio
import os
import sys
import time
import traceback
from pathlib import Path
from socket import socket

from pydantic import ValidationError

from workers.data.templates import ChatTemplate, load_template
from workers.data.token_identity import require_same, tokenizer_folder
from workers.engine.cache import sweep
from workers.engine.checkpoint import Checkpoint
from workers.engine.choose import Loaded, load_engine, threads
from workers.engine.engines.base import EngineError, Sampling
from workers.engine.generation import Served
from workers.engine.server import Server, listen, make_app, resident_bytes
from workers.event_loop import new_event_loop
from workers.program import EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, die_with_parent, write_json
from workers.spec.errors import UserError
from workers.spec.serve import EngineRun


def main(argv: list[str]) -> int:
    started = time.monotonic()
    try:
        run = EngineRun.model_validate_json(Path(argv[0]).read_text(encoding="utf-8"))
    except (IndexError, OSError, ValidationError) as error:
        print(f"usage: python -m workers.engine engine.json ({error})", file=sys.stderr)
        return EXIT_BAD_INPUT
    be_polite(run)
    for path in sweep(Path(run.cache_dir)):
        print(f"swept {path.name}, which a killed engine left behind", flush=True)
    for path in (Path(run.ready_file), error_file(run)):
        path.unlink(missing_ok=True)
    try:
        token = os.environ.get(run.token_env, "")
        if not token:
            raise UserError("engine.no_token", "The variable {name} with the engine's token is not set.", name=run.token_env)
        template = open_template(run)
        listener = listen(run.host, run.port)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(serve(run, load_engine(run), template, listener, token=token, started=started))
    except UserError as error:
        return fail(run, error, EXIT_BAD_INPUT)
    except OSError as error:
        problem = UserError(
            "engine.system_error",
            "The system refused the engine ({detail}); mend that, then press Start.",
            detail=str(error)[:300],
        )
        return fail(run, problem)
    except Exception as error:  # noqa: BLE001  (the process boundary)
        traceback.print_exc()
        kind, detail = type(error).__name__, str(error)[:300]
        problem = UserError(
            "engine.crashed",
            "The engine stopped with {kind} ({detail}); read its log, then press Start.",
            kind=kind,
            detail=detail,
        )
        return fail(run, problem)


def open_template(run: EngineRun) -> ChatTemplate:
    """The tokenizer and template to serve with; UserError when they are not those of the training (N3)."""
    folder, adapter = Path(run.model_path), Path(run.adapter_path) if run.adapter_path else None
    Checkpoint(folder, adapter)  # says what is wrong with the model's own files
    template = load_template(tokenizer_folder(folder, adapter))
    require_same(template, name=run.served_name, template_hash=run.template_hash, fingerprint_then=run.fingerprint)
    return template


def be_polite(run: EngineRun) -> None:
    """Training and the web share the machine: never spin while waiting for work. What computes gives way to the web."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads(run)))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def error_file(run: EngineRun) -> Path:
    return Path(run.error_file) if run.error_file else Path(run.ready_file).with_suffix(".error.json")


def fail(run: EngineRun, error: UserError, code: int = EXIT_FAILED) -> int:
    print(error.message, flush=True)
    write_json(error_file(run), error.payload())
    return code


async def serve(run: EngineRun, loaded: Loaded, template: ChatTemplate, listener: socket, *, token: str, started: float) -> int:
    served = Served(run.served_name, loaded.engine, template, run.generation.known())
    await first_token(served)
    served.facts = {
        "model": served.name,
        "engine": served.engine.name,
        "weights": served.engine.weights,
        "context_length": served.engine.context_length,
        "template_hash": served.template.hash,
        "same_tokens": bool(run.template_hash),
        "fallback": loaded.fallback,
        "load_seconds": round(time.monotonic() - started, 3),
    }

    def announce() -> None:
        address = {"host": run.host, "port": listener.getsockname()[1], "pid": os.getpid()}
        write_json(Path(run.ready_file), {**address, **served.facts, "memory_bytes": resident_bytes(served.engine.pids)})

    server = Server(make_app(served, token), announce)
    try:
        await server.serve(sockets=[listener])
        failure = served.engine.failure
    finally:
        Path(run.ready_file).unlink(missing_ok=True)
        await served.engine.close()
    if failure:
        return fail(run, UserError("engine.failed", "{detail}", detail=failure))
    return EXIT_DONE


async def first_token(served: Served) -> None:
    """Generate one token, or say why the model cannot be served."""
    prompt = served.template.encode_prompt([{"role": "user", "content": "1"}])[: served.engine.context_length - 1]
    try:
        async for _ in served.engine.generate(prompt, Sampling(max_tokens=1, temperature=0.0)):
            pass
    except EngineError as error:
        raise UserError(
            "engine.no_token_generated",
            "The model was loaded but generates nothing ({detail}); choose another engine or another model.",
            detail=str(error),
        ) from error


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
