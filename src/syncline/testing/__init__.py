"""Published doubles, builders and suites for people who test against Syncline."""
