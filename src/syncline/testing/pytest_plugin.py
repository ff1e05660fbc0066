"""The pytest plug-in: a broker for the tests of anybody who installs Syncline."""
