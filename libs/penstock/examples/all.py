"""All examples as one app: what `make run` serves."""

from penstock import App
from penstock.examples import brief, github, pictures

app = App("examples")
for each in (pictures.app, github.app, brief.app):
    app.include(each)
