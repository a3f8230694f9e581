"""Settings. Embedded and production differ only in environment variables, all read here; see docs/production.md."""

from pathlib import Path

from django.utils.translation import gettext_lazy as _

from webapp.core import configuration, environment

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = environment.folder("SHUYUAN_DATA", BASE_DIR / "data")
DEBUG = environment.boolean("SHUYUAN_DEBUG", False)
SECRET_KEY = configuration.secret_key(DATA_DIR)
HOST = environment.text("SHUYUAN_HOST", "127.0.0.1")
PORT = environment.integer("SHUYUAN_PORT", 8000, maximum=65535)
ALLOWED_HOSTS = environment.words("SHUYUAN_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]", HOST])
CSRF_TRUSTED_ORIGINS = environment.words("SHUYUAN_TRUSTED_ORIGINS")
HTTPS = environment.boolean("SHUYUAN_HTTPS", False)
OPEN_SIGN_UP = environment.boolean("SHUYUAN_OPEN_SIGN_UP", False)
DEMO = environment.boolean("SHUYUAN_DEMO", True)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "webapp.core",
    "webapp.accounts",
    "webapp.jobs",
    "webapp.datasets",
    "webapp.labeling",
    "webapp.registry",
    "webapp.evals",
    "webapp.serving",
    "webapp.chat",
    "webapp.projects",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "webapp.core.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "webapp.core.middleware.user_errors",
]
ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "webapp.accounts.context.workspaces",
            ],
            "builtins": ["django.templatetags.i18n", "webapp.core.templatetags.assets", "webapp.core.templatetags.numbers"],
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["django.template.loaders.filesystem.Loader", "django.template.loaders.app_directories.Loader"],
                )
            ],
        },
    }
]

DATABASES = {"default": configuration.database(environment.text("DATABASE_URL"), DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "start"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_AGE = 30 * 24 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "shuyuan_session"
CSRF_COOKIE_NAME = "shuyuan_csrf"
CSRF_FAILURE_VIEW = "webapp.core.views.stale"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

EMBEDDED_REDIS = not environment.text("REDIS_URL")
REDIS_SOCKET = configuration.redis_socket(DATA_DIR)
REDIS_URL = environment.text("REDIS_URL") or f"unix://{REDIS_SOCKET}"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "shuyuan"},
    }
}
CELERY = {
    "broker_url": configuration.celery_broker(REDIS_URL),
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {
        "visibility_timeout": 3600,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "max_retries": 0,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.2,
    },
    "accept_content": ["json"],
    "task_serializer": "json",
    "task_ignore_result": True,
    "task_acks_late": False,
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_hijack_root_logger": False,
    "task_default_queue": "control",
    "imports": ["workers.tasks"],
    "task_routes": {"chat.*": {"queue": "chat"}},
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LANGUAGE_COOKIE_NAME = "shuyuan_language"
USE_TZ = True
TIME_ZONE = environment.text("TZ", "UTC") or "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static" / "dist"]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_IMMUTABLE_FILE_TEST = r"-[A-Za-z0-9_-]{8}\.[a-z0-9]+$"
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024

LIGHT_SLOTS = environment.integer("SHUYUAN_LIGHT_SLOTS", 2, minimum=1, maximum=256)
CPU_SLOTS = environment.integer("SHUYUAN_CPU_SLOTS", 1, minimum=0, maximum=256)
GPU_SLOTS = environment.integer("SHUYUAN_GPU_SLOTS", -1, minimum=-1, maximum=256)
"""-1: as many as the driver shows."""
LEASE_SECONDS = environment.integer("SHUYUAN_LEASE_SECONDS", 30, minimum=2)
HEARTBEAT_SECONDS = max(1, LEASE_SECONDS // 3)
CANCEL_GRACE_SECONDS = environment.integer("SHUYUAN_CANCEL_GRACE_SECONDS", 20)
MODEL_FOLDERS = environment.words("SHUYUAN_MODEL_FOLDERS")
"""Folders on the server, beside `imports/` in the data folder, from which managers may import models."""
ALLOWED_LICENCES = environment.words("SHUYUAN_ALLOWED_LICENCES")
"""Licences of models that may be trained further (apache-2.0, mit …); none named: all."""
ALLOWED_ENDPOINTS = environment.words("SHUYUAN_ALLOWED_ENDPOINTS")
"""Hosts (host, host:port or network) in private ranges that endpoints may lie on; public hosts need no entry."""
MINIMUM_FREE_MB = environment.integer("SHUYUAN_MINIMUM_FREE_MB", 200)
ENGINE_ADDRESS = environment.text("SHUYUAN_ENGINE_ADDRESS", "127.0.0.1")
"""Where engines of this host listen; the web and other workers must reach it."""
ENGINE_WAIT_SECONDS = environment.integer("SHUYUAN_ENGINE_WAIT_SECONDS", 5)
"""How long a gateway request waits for an engine that is starting."""
REQUESTS_PER_MINUTE = environment.integer("SHUYUAN_REQUESTS_PER_MINUTE", 0)
"""Limit of the gateway per API key; 0: none."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": environment.text("SHUYUAN_LOG_LEVEL", "INFO")},
    "loggers": {"httpx": {"level": "WARNING"}},
}
