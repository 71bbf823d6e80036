"""
An event log as it grows: told on a terminal, and on a page of this machine alone. One file is read, and
nothing decided.

What is shown, in words and marks, is `ddbverify.page.live_view`: terminal and page show the same.

Begin with `watching`; `terminal` draws, `web` serves, and `address` keeps where a page is to be found again.
"""
