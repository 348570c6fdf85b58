"""A Django REST framework application with each of its paginations. `python rest_framework_app.py <port> <how many>`."""

from __future__ import annotations

import sys
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    USE_TZ=True,
)
django.setup()

from django.db import connection, models  # noqa: E402  (Django wants its settings first)
from django.urls import path  # noqa: E402
from rest_framework import generics, pagination, serializers  # noqa: E402


class Item(models.Model):
    """What is served."""

    name = models.TextField()

    class Meta:
        app_label = "items"


class ItemSerializer(serializers.ModelSerializer):
    """An item as JSON."""

    class Meta:
        model = Item
        fields = ("id", "name")


class Pages(pagination.PageNumberPagination):
    """Pages by number."""

    page_size = 10
    page_size_query_param = "size"


class Offsets(pagination.LimitOffsetPagination):
    """Pages by limit and offset."""

    default_limit = 10


class Cursors(pagination.CursorPagination):
    """Pages by cursor."""

    page_size = 10
    ordering = "id"


def view(how: type[pagination.BasePagination]) -> object:
    """A list of all items, paged so."""
    return generics.ListAPIView.as_view(
        queryset=Item.objects.order_by("id"), serializer_class=ItemSerializer, pagination_class=how
    )


urlpatterns = [path("pages", view(Pages)), path("offsets", view(Offsets)), path("cursors", view(Cursors))]


def main(port: int, count: int) -> None:
    """Serves until it is killed."""
    with connection.schema_editor() as editor:
        editor.create_model(Item)
    Item.objects.bulk_create(Item(name=f"item {number}") for number in range(count))
    # One thread, and so one connection: the database is in its memory.
    make_server("127.0.0.1", port, get_wsgi_application()).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
