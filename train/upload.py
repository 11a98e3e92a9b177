"""Sending a folder to the Hub as one commit, so that a broken push leaves the old version complete."""

from pathlib import Path

import httpx2  # the HTTP library of huggingface_hub; its errors are not wrapped there
from huggingface_hub import GitRefInfo, HfApi, RepoCard, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from models.hub import first_line, is_repo_id

NEW_REPOSITORY = {".gitattributes", "README.md"}  # what the Hub itself may put into one


class UploadError(RuntimeError):
    """Nothing, or not everything, could be published; the message says why and how to go on."""


def upload(
    folder: Path,
    repo_id: str,
    *,
    message: str,
    ours: str,
    repo_type: str = "model",
    private: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    variables: dict[str, str] | None = None,
    replace_all: bool = False,
) -> str:
    """Push all files of ``folder`` in one commit, creating repository and branch when needed.

    The Hub is asked about the header of README.md before anything is made there, and about ``tag`` before the push.
    Files that are there already are not sent again, and no commit is made when nothing changed.
    A repository that holds other files, but not the file ``ours`` of every such upload, is somebody's
    other work and left alone. ``replace_all`` deletes files that the folder lacks; ``tag`` then marks
    the commit; ``variables`` are a Space's. The token comes from ``HF_TOKEN`` or ``hf auth login``. Returns the commit.
    Raises ``UploadError``.
    """
    check_name(repo_id)
    if get_token() is None:
        raise UploadError(
            "no Hub token; run `hf auth login`, or set HF_TOKEN, with a token that may write "
            f"({constants.ENDPOINT}/settings/tokens)"
        )
    api = HfApi()
    target = {"repo_id": repo_id, "repo_type": repo_type}
    try:
        check_card(folder / "README.md", repo_type)
        sdk = {"space_sdk": "gradio"} if repo_type == "space" else {}
        api.create_repo(**target, **sdk, private=private or None, exist_ok=True)
        if private and not api.repo_info(**target).private:
            raise UploadError(
                f"{repo_id} exists and is public; make it private in its settings, or leave out --private"
            )
        there = api.list_repo_files(**target)
        if ours not in there and (others := sorted({*there} - NEW_REPOSITORY)):
            raise UploadError(
                f"{repo_id} holds something else already ({', '.join(others[:3])}{', …' * (len(others) > 3)}), "
                "which is left as it is; give another name with --repo-id, or delete that repository first"
            )
        if tag:
            check_tag(api, target, tag, revision or "main")
        if revision:
            api.create_branch(**target, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            **target,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            delete_patterns=["*"] if replace_all else None,
        ).oid
        try:
            for key, value in (variables or {}).items():
                api.add_space_variable(repo_id, key, value)
            if tag:
                mark(api, target, tag, commit)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            what = f"the tag {tag!r}" if tag else "its variables"
            raise UploadError(
                f"{repo_id} holds the new version ({commit[:7]}), but {what} could not be set ({reason(error)})"
            ) from None
    except UploadError:
        raise
    except (httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:  # RuntimeError: LFS and Xet uploads
        raise UploadError(explain(error, repo_id)) from None  # the cause may quote a request with its headers
    return commit


def check_tag(api: HfApi, target: dict, tag: str, branch: str) -> None:
    """``UploadError`` for a tag of another version than the branch's newest, before a push that could not set it."""
    refs = api.list_repo_refs(**target)
    marked = commit_of(tag, refs.tags)
    if marked not in (None, commit_of(branch, refs.branches)):
        raise taken(tag, marked, f"nothing was pushed to {target['repo_id']}:")


def mark(api: HfApi, target: dict, tag: str, commit: str) -> None:
    """Tag a commit; ``UploadError`` if the tag marks another one, since others may rely on it."""
    marked = commit_of(tag, api.list_repo_refs(**target).tags)
    if marked is None:
        api.create_tag(**target, tag=tag, revision=commit)
    elif marked != commit:
        raise taken(tag, marked, f"{target['repo_id']} was pushed as {commit[:7]}, but")


def commit_of(name: str, refs: list[GitRefInfo]) -> str | None:
    return next((ref.target_commit for ref in refs if ref.name == name), None)


def taken(tag: str, commit: str, so_far: str) -> UploadError:
    return UploadError(f"{so_far} tag {tag!r} already marks {commit[:7]}; run again with another --tag")


def check_name(repo_id: str) -> None:
    """``UploadError`` for what the Hub allows no repository to be called."""
    if not is_repo_id(repo_id):
        raise UploadError(
            f"{repo_id!r} is not the name of a repository; give it as USER/NAME, of A to Z, a to z, 0 to 9, '_', '-' "
            "and '.', with none of the last two at an end or twice in a row"
        )


def check_card(readme: Path, repo_type: str) -> None:
    """``UploadError`` in the Hub's words for a header that it refuses."""
    try:
        RepoCard.load(readme).validate(repo_type=repo_type)
    except HfHubHTTPError:
        raise
    except ValueError as error:
        what = " ".join(hide_token(str(error)).split())
        raise UploadError(f"the Hub refuses the header of README.md ({what}); correct that, then run again") from None


def explain(error: Exception, repo_id: str) -> str:
    """One sentence for a failed push, never with the token in it."""
    match error:
        case HfHubHTTPError() if error.response.status_code == 401:
            return "the Hub does not accept the token; run `hf auth login` again, or set HF_TOKEN to a valid one"
        case HfHubHTTPError() if error.response.status_code == 403:
            return f"the token may not write to {repo_id}; use one with write access there"
        case UnicodeEncodeError():
            return "the token holds a character that no token has; run `hf auth login` again, or correct HF_TOKEN"
        case OfflineModeIsEnabled():
            return f"nothing was sent to {repo_id}: the Hub is switched off by HF_HUB_OFFLINE; unset that and run again"
    return (
        f"the push to {repo_id} broke off ({reason(error)}). A push is one commit: the repository holds its old "
        "version or the new one, never half of it. Run the same command again to go on"
    )


def reason(error: Exception) -> str:
    """The first line of an error, without the token."""
    return hide_token(first_line(error.__cause__ or error))


def hide_token(text: str) -> str:
    return text.replace(get_token() or "\0", "***")


def list_files(folder: Path) -> str:
    """The files of a folder with their sizes, one a line, and the sum."""
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files_in(folder)}
    lines = [f"  {size:>13,}  {name}" for name, size in sizes.items()]
    return "\n".join([*lines, f"  {sum(sizes.values()):>13,}  bytes in {len(sizes)} files"])


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
