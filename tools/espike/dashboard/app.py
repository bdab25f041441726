"""choice of a page -> that page; the script that Streamlit runs. The home is in $ESPIKE_FORGE_HOME."""

from __future__ import annotations

import os

import streamlit as st

from espike.dashboard import board, browser, common, details, editor, machine, overview
from espike.forge.registry import home

PAGES = {
    "Overview": overview.show, "Phase details": details.show, "Model browser": browser.show, "System": machine.show,
    "Configuration": editor.show, "Board": board.show,
}  # fmt: skip


def main() -> None:
    """The page that the sidebar, or `?page=` at first, names."""
    st.set_page_config(page_title="espike", layout="wide")
    folder = home(os.environ.get("ESPIKE_FORGE_HOME") or None)
    names = list(PAGES)
    asked = str(st.query_params.get("page", names[0]))
    with st.sidebar:
        st.header("espike")
        name = st.radio("Page", names, index=names.index(asked) if asked in names else 0)
        st.caption(f"home: {folder}")
    st.title(name)
    with common.told():
        PAGES[name](folder)


main()
