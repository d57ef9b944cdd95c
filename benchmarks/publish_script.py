"""An opponent: a script that publishes a folder as a Space: python -m benchmarks.publish_script REPO FOLDER SDK."""

from __future__ import annotations

import sys

from huggingface_hub import HfApi


def main() -> None:
    """Creates the Space and uploads the folder with one commit."""
    repo, folder, sdk = sys.argv[1:]
    api = HfApi()
    api.create_repo(repo, repo_type="space", space_sdk=sdk)
    api.upload_folder(repo_id=repo, repo_type="space", folder_path=folder)


if __name__ == "__main__":
    main()
