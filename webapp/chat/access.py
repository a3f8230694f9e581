"""The door to conversations: only who holds one sees it; strangers and other members get 404."""

from webapp.accounts.access import access_workspace_id
from webapp.accounts.models import User
from webapp.chat.models import Conversation, Turn
from webapp.core.errors import NotFound


def access_conversation(user: User, conversation_id: int) -> Conversation:
    found = Conversation.objects.select_related("workspace", "deployment").filter(pk=conversation_id, user_id=user.pk).first()
    if found is None:
        raise NotFound
    access_workspace_id(user, found.workspace_id)
    return found


def access_turn(user: User, turn_id: int) -> Turn:
    found = Turn.objects.select_related("conversation__workspace").filter(pk=turn_id, conversation__user_id=user.pk).first()
    if found is None:
        raise NotFound
    access_workspace_id(user, found.conversation.workspace_id)
    return found


def access_chats(user: User, user_id: int) -> None:
    """The list of somebody's conversations is only for that one."""
    if user.pk != user_id:
        raise NotFound
