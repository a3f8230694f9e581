"""What people do in conversations: start one, send, edit, regenerate, stop, rate, rename, delete."""

import logging
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from webapp.accounts.access import access_workspace
from webapp.accounts.models import User
from webapp.celery import app
from webapp.chat.access import access_conversation, access_turn
from webapp.chat.models import OPEN, Conversation, Feedback, Turn, TurnState
from webapp.chat.settings import ChatParameters, ChatSettings, default_settings
from webapp.core.errors import NotFound, UserError
from webapp.core.events import publish
from webapp.serving.models import Deployment, Wanted

logger = logging.getLogger(__name__)
MAXIMUM_CHARACTERS = 100_000
TITLE_CHARACTERS = 60
CALL_AGAIN = timedelta(seconds=5)
LOST_ANSWER = timedelta(minutes=5)
"""So long a page may go on asking for a conversation whose making it never heard of."""
REASONS = ["incorrect", "incomplete", "irrelevant", "style", "language", "unsafe"]


def create_conversation(
    *,
    user: User,
    workspace: str,
    deployment_id: int | None = None,
    title: str = "",
    system_prompt: str = "",
    settings: ChatSettings | None = None,
    again: bool = False,
) -> Conversation:
    """`again`: a repeat after a lost answer; it finds the conversation that the first request made, while that is empty."""
    place = access_workspace(user, workspace)
    deployment = _deployment_of(place.pk, deployment_id) if deployment_id else default_deployment(user, place.pk)
    if again and (made := _made_just_now(place.pk, user, deployment)):
        return made
    return Conversation.objects.create(
        workspace=place,
        user=user,
        deployment=deployment,
        title=title.strip()[:160],
        system_prompt=system_prompt[:MAXIMUM_CHARACTERS],
        settings=(settings or ChatSettings()).body(),
    )


def _made_just_now(workspace_id: int, user: User, deployment: Deployment | None) -> Conversation | None:
    empty = Conversation.objects.filter(workspace=workspace_id, user=user, deployment=deployment, title="", turns=None)
    return empty.filter(created_at__gt=timezone.now() - LOST_ANSWER).order_by("-pk").first()


def default_deployment(user: User, workspace_id: int) -> Deployment | None:
    """What the user talked to last, if it is to run; else the newest that is to run."""
    running = Deployment.objects.filter(workspace_id=workspace_id, wanted=Wanted.RUNNING)
    used = running.filter(conversations__user=user).order_by("-conversations__updated_at").first()
    return used or running.order_by("-id").first()


def _deployment_of(workspace_id: int, deployment_id: int) -> Deployment:
    deployment = Deployment.objects.filter(pk=deployment_id, workspace_id=workspace_id).first()
    if deployment is None:
        raise NotFound
    return deployment


def update_conversation(*, user: User, conversation_id: int, **changes: Any) -> Conversation:
    """Change some of title, deployment_id, system_prompt, settings (ChatSettings) and leaf (the turn whose branch is shown)."""
    conversation = access_conversation(user, conversation_id)
    values: dict[str, Any] = {}
    if (title := changes.get("title")) is not None:
        values["title"] = title.strip()[:160]
    if (deployment_id := changes.get("deployment_id")) is not None:
        values["deployment"] = _deployment_of(conversation.workspace_id, deployment_id)
    if (system_prompt := changes.get("system_prompt")) is not None:
        values["system_prompt"] = system_prompt[:MAXIMUM_CHARACTERS]
    if (settings := changes.get("settings")) is not None:
        values["settings"] = settings.body()
    if (leaf := changes.get("leaf")) is not None:
        values["leaf"] = _deepest(conversation, leaf)
    Conversation.objects.filter(pk=conversation.pk).update(**values)
    conversation.refresh_from_db()
    if "title" in values:
        tell_list(user.pk)
    return conversation


def _deepest(conversation: Conversation, turn_id: int) -> Turn:
    """The newest leaf below a turn of this conversation."""
    parents = dict(Turn.objects.filter(conversation=conversation).values_list("pk", "parent_id"))
    if turn_id not in parents:
        raise NotFound
    newest_child = {parent: pk for pk, parent in sorted(parents.items())}
    while turn_id in newest_child:
        turn_id = newest_child[turn_id]
    return Turn.objects.get(pk=turn_id)


def delete_conversation(*, user: User, conversation_id: int) -> None:
    """Delete it with its turns. A worker that answers one of them finds its row gone and stops."""
    access_conversation(user, conversation_id).delete()
    tell_list(user.pk)


def send_message(
    *,
    user: User,
    conversation_id: int,
    content: str,
    parent_id: int | None = None,
    at_root: bool = False,
    client_key: str = "",
    parameters: ChatParameters | None = None,
) -> tuple[Turn, Turn]:
    """The user's turn and the queued answer.

    It follows `parent_id` (default: the end of the branch shown). To edit a message, send with the parent of the old one;
    `at_root` does that for the first. The same client key gives the turns made first. `parameters` are for this answer only.
    """
    conversation = access_conversation(user, conversation_id)
    if client_key and (known := _known(conversation, client_key)):
        return known
    text = _checked(content)
    parent = None if at_root else _parent(conversation, parent_id)
    deployment = _usable_deployment(user, conversation)
    try:
        with transaction.atomic():
            message = Turn.objects.create(
                conversation=conversation, parent=parent, role="user", content=text, client_key=client_key[:80] or None
            )
            answer = _queue_answer(conversation, message, deployment, parameters)
            if not conversation.title:
                Conversation.objects.filter(pk=conversation.pk).update(title=title_of(text))
    except IntegrityError as error:
        known = _known(conversation, client_key)
        if known is None:
            raise _key_of_another() from error
        return known
    return message, answer


def _known(conversation: Conversation, client_key: str) -> tuple[Turn, Turn] | None:
    message = Turn.objects.filter(conversation=conversation, client_key=client_key[:80], role="user").first()
    answer = message and message.children.order_by("pk").first()
    return (message, answer) if message and answer else None


def _key_of_another() -> UserError:
    return UserError("chat.key_used", "This key belongs to another request in this conversation; send a fresh one.", status=409)


def _checked(content: str) -> str:
    text = content.strip()
    if not text:
        raise UserError("chat.empty_message", "The message is empty; write something first.")
    if len(text) > MAXIMUM_CHARACTERS:
        raise UserError(
            "chat.long_message",
            "The message has {length} characters and at most {limit} are allowed; shorten it.",
            length=len(text),
            limit=MAXIMUM_CHARACTERS,
        )
    return text


def _parent(conversation: Conversation, parent_id: int | None) -> Turn | None:
    wanted = parent_id if parent_id is not None else conversation.leaf_id
    if wanted is None:
        return None
    parent = Turn.objects.filter(pk=wanted, conversation=conversation, role="assistant").first()
    if parent is None:
        raise NotFound
    if parent.state in OPEN:
        raise UserError("chat.still_answering", "The answer before is still being written; wait for it or stop it.", status=409)
    return parent


def _usable_deployment(user: User, conversation: Conversation) -> Deployment:
    deployment = conversation.deployment or default_deployment(user, conversation.workspace_id)
    if deployment is None:
        raise UserError(
            "chat.no_deployment", "No model is deployed here; open a model, press Deploy, then write again.", status=409
        )
    if conversation.deployment_id != deployment.pk:
        Conversation.objects.filter(pk=conversation.pk).update(deployment=deployment)
    return deployment


def title_of(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1].rstrip() + "…"


def _queue_answer(
    conversation: Conversation, message: Turn, deployment: Deployment, parameters: ChatParameters | None, client_key: str = ""
) -> Turn:
    """Inside a transaction: the waiting answer; once it is committed a worker is called and the open pages are told."""
    kept = {"system_prompt": conversation.system_prompt, **default_settings(deployment.model), **conversation.settings}
    answer = Turn.objects.create(
        conversation=conversation,
        parent=message,
        role="assistant",
        state=TurnState.QUEUED,
        deployment=deployment,
        model_name=deployment.name,
        parameters={**kept, **(parameters.body() if parameters else {})},
        lease_expires_at=timezone.now() + CALL_AGAIN,
        client_key=client_key[:80] or None,
    )
    Conversation.objects.filter(pk=conversation.pk).update(leaf=answer, updated_at=timezone.now())
    transaction.on_commit(lambda: call_worker(answer.pk))
    transaction.on_commit(lambda: tell(conversation.pk, message.pk, answer.pk))
    transaction.on_commit(lambda: tell_list(conversation.user_id))
    return answer


def call_worker(turn_id: int) -> None:
    """Ask for a worker. A broker that is away loses nothing: the duty asks again."""
    try:
        app.send_task("chat.run_turn", args=[turn_id], queue="chat", ignore_result=True, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("no worker could be told of turn %s: %s", turn_id, error)


def tell(conversation_id: int, *turns: int) -> None:
    """Open pages of the conversation fetch these turns."""
    publish(f"conversation.{conversation_id}", turns=list(turns))


def tell_list(user_id: int) -> None:
    """The user's list of conversations has changed."""
    publish(f"chats.{user_id}")


def regenerate(*, user: User, turn_id: int, client_key: str = "", parameters: ChatParameters | None = None) -> Turn:
    """Another answer to the same message, as a sibling of the one given. The same client key gives the answer made first."""
    turn = access_turn(user, turn_id)
    message = turn.parent if turn.role == "assistant" else turn
    if message is None:
        raise NotFound
    if client_key and (known := _known_answer(message, client_key)):
        return known
    if message.children.filter(state__in=OPEN).exists():
        raise UserError("chat.still_answering", "The answer before is still being written; wait for it or stop it.", status=409)
    deployment = _usable_deployment(user, turn.conversation)
    try:
        with transaction.atomic():
            return _queue_answer(turn.conversation, message, deployment, parameters, client_key)
    except IntegrityError as error:
        known = _known_answer(message, client_key)
        if known is None:
            raise _key_of_another() from error
        return known


def _known_answer(message: Turn, client_key: str) -> Turn | None:
    return message.children.filter(client_key=client_key[:80]).first()


def stop_turn(*, user: User, turn_id: int) -> Turn:
    """Stop an answer: one that waits ends here, one that streams is ended by its worker within a tenth of a second."""
    turn = access_turn(user, turn_id)
    now = timezone.now()
    waiting = Turn.objects.filter(pk=turn.pk, state=TurnState.QUEUED)
    if waiting.update(state=TurnState.STOPPED, stop_requested=True, finished_at=now, lease_owner=""):
        tell(turn.conversation_id, turn.pk)
    else:
        Turn.objects.filter(pk=turn.pk, state=TurnState.STREAMING).update(stop_requested=True)
    turn.refresh_from_db()
    return turn


def rate_turn(
    *, user: User, turn_id: int, rating: int, reasons: list[str] | None = None, comment: str = "", correction: str = ""
) -> Feedback | None:
    """👍 (1), 👎 (−1) or neither (0: forget it), with reasons and the answer that it should have been."""
    turn = access_turn(user, turn_id)
    if turn.role != "assistant" or turn.state in OPEN:
        raise UserError("chat.not_rateable", "Only a finished answer can be rated.", status=409)
    if rating not in {-1, 0, 1}:
        raise UserError("chat.bad_rating", "A rating is 1, 0 or -1.")
    unknown = [reason for reason in reasons or [] if reason not in REASONS]
    if unknown:
        raise UserError(
            "chat.unknown_reason",
            "“{reason}” is not a reason; use some of {reasons}.",
            reason=unknown[0],
            reasons=", ".join(REASONS),
        )
    if rating == 0:
        Feedback.objects.filter(turn=turn, user=user).delete()
        feedback = None
    else:
        values = {
            "rating": rating,
            "reasons": list(dict.fromkeys(reasons or [])),
            "comment": comment.strip()[:2000],
            "correction": correction.strip()[:MAXIMUM_CHARACTERS],
        }
        feedback, _ = Feedback.objects.update_or_create(turn=turn, user=user, defaults=values)
    tell(turn.conversation_id, turn.pk)
    return feedback
