"""Django REST framework with djangorestframework-api-key on SQLite. `python server.py FILE` creates the database and prints
a key; gunicorn serves `server:application` on the database that the environment variable BENCH_DATABASE names."""

import os
import sys

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("BENCH_DATABASE") or sys.argv[1],
            "CONN_MAX_AGE": None,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["rest_framework", "rest_framework_api_key"],
    MIDDLEWARE=[],
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
    ROOT_URLCONF=__name__,
    SECRET_KEY="a secret of the benchmark",
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402
from rest_framework_api_key.models import APIKey  # noqa: E402
from rest_framework_api_key.permissions import HasAPIKey  # noqa: E402


class Key(APIView):
    permission_classes = [HasAPIKey]

    def get(self, request):
        return Response({"data": {"prefix": request.META["HTTP_AUTHORIZATION"].split()[1].partition(".")[0]}})


urlpatterns = [path("api/v1/key", Key.as_view())]

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    print(APIKey.objects.create_key(name="K")[1])
else:
    application = get_wsgi_application()
