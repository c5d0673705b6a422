"""Apps that ship with Penstock and run on real input: pictures of a folder, webhooks of GitHub, a weekly brief."""
