"""Files on the Hugging Face hub: ``hf:user/name``, at a branch, tag or commit ``hf:user/name@revision``.

Fetches only the files that the caller names, into the hub's own cache, and sends files in one commit. If the hub cannot
be reached, the files in the cache are used. Knows no model.
"""

import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from eqr.errors import InputError, missing_extra

PREFIX = "hf:"
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


def is_on_hub(name: str | Path) -> bool:
    """Returns whether ``name`` is a name on the hub."""
    return str(name).startswith(PREFIX)


def place(name: str | Path) -> tuple[str, str | None]:
    """Returns ``user/name`` and the revision, if ``name`` has one; raises InputError if ``name`` is malformed."""
    match = re.fullmatch(PREFIX + r"([\w.-]+/[\w.-]+)(?:@(.+))?", str(name), re.ASCII)
    if match is None:
        raise InputError(f"{str(name)!r} names nothing on the hub: write hf:user/name, or hf:user/name@revision")
    return match[1], match[2]


def fetched(name: str | Path, files: Mapping[str, int]) -> Path:
    """Fetches those of ``files`` that ``name`` has; returns their folder in the cache.

    ``files`` gives the most bytes of each. Raises InputError, before anything is fetched, for a larger file; also if
    the files cannot be fetched and are not in the cache.
    """
    repository, revision = place(name)
    with _hub_errors(str(name)):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import DryRunError
        from huggingface_hub.utils.tqdm import disable_progress_bars

        with disable_progress_bars(), suppress(DryRunError):  # out of reach: the files in the cache have been checked
            planned = snapshot_download(repository, revision=revision, allow_patterns=list(files), dry_run=True)
            for file in planned:
                if (file.file_size or 0) > files[file.filename]:
                    raise InputError(
                        f"{name}: its {file.filename} has {file.file_size:,} bytes, at most {files[file.filename]:,} "
                        "are fetched: it is no file of a model"
                    )
        with nullcontext() if sys.stderr.isatty() else disable_progress_bars():
            return Path(snapshot_download(repository, revision=revision, allow_patterns=list(files)))


def push(files: Mapping[str, bytes], to: str, known: Collection[str], private: bool = False) -> str:
    """Sends ``files`` in one commit to ``to``, which is created if necessary; returns the commit's address.

    Removes the files in ``known`` that are on the hub but not in ``files``: they belong to the previous model.
    """
    repository, revision = place(to)
    if revision:
        raise InputError(f"--to {to}: models are sent to the main branch, leave out @{revision}")
    with _hub_errors(to):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
        from huggingface_hub.utils.tqdm import disable_progress_bars

        if get_token() is None:
            raise InputError(f"sending {to} needs a token: {LOGIN}")
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        old = set(known) & set(api.list_repo_files(repository)) - set(files)
        added = [CommitOperationAdd(path, content) for path, content in files.items()]
        removed = [CommitOperationDelete(path) for path in sorted(old)]
        with disable_progress_bars():  # the caller shows its own
            return api.create_commit(repository, [*added, *removed], commit_message="Model of eqr").commit_url


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Turns errors of the hub, the network and the cache into an InputError of one sentence."""
    try:
        import httpx2
        from huggingface_hub import errors
    except ImportError:
        raise missing_extra(name, "hub") from None
    try:
        yield
    except errors.GatedRepoError:
        raise InputError(f"{name} is open only on request: ask for access on its page, then {LOGIN}") from None
    except errors.RepositoryNotFoundError:
        raise InputError(f"{name} is not on the hub: correct the name or, if it is private, {LOGIN}") from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{name}: there is no such branch, tag or commit, correct what follows the @") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise InputError(
            f"{name} is not in the cache, and the hub is out of reach: connect, or unset HF_HUB_OFFLINE"
        ) from None
    except errors.HFValidationError as error:
        raise InputError(f"{name} is no name on the hub ({str(error)[:80]}): write hf:user/name") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        cure = f"its owner's token is needed, {LOGIN}" if status in (401, 403) else "try again later"
        raise InputError(f"the hub refuses {name} (HTTP status {status}): {cure}") from None
    except httpx2.TransportError as error:
        raise InputError(f"{name}: the hub cannot be reached ({error}): connect and try again") from None
    except OSError as error:
        raise InputError(
            f"{name} cannot be saved in the hub's cache ({error.strerror}): make room, or set HF_HOME to another folder"
        ) from None
