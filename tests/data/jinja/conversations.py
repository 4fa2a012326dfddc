"""What the chat templates are rendered with."""

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a place.\nWith a forecast; «précis», <b>bold</b> & 'quoted'.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "City, e.g. \"Köln\""},
                    "days": {"type": "integer", "default": 3, "minimum": 1},
                    "unit": {"type": "string", "enum": ["celsius", "kelvin"], "nullable": True},
                    "where": {"type": "array", "items": {"type": "number"}},
                },
                "required": ["place"],
            },
            "return": {"type": "string"},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds.",
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"type": "number"},
                    "b": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                    "options": {
                        "type": "object",
                        "description": "Further wishes",
                        "properties": {"round": {"type": "boolean"}, "scale": {"type": ["integer", "null"]}},
                        "required": ["round"],
                    },
                },
                "required": ["a", "b"],
            },
        },
    },
]


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, id=None):
    out = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"id": id, **out} if id else out


HELLO = [say("user", "Hello!")]
SYSTEM = [say("system", "Be brief.\n\n"), say("user", "  Why is the sky blue?  ")]
TURNS = [
    say("system", "You are a pirate."),
    say("user", "Who are you?"),
    say("assistant", "Arr! \n"),
    say("user", "And <|im_end|> now? {{ 7*7 }} {% if %}"),
]
THOUGHT = [
    say("user", "2 + 2?"),
    say("assistant", "<think>\nTwo and two.\n</think>\n\n4"),
    say("user", "3 + 3?"),
    say("assistant", "6", reasoning_content="Three and three."),
    say("user", "Thanks"),
]
CALLS = [
    say("system", "Use tools."),
    say("user", "Weather in Köln and Paris?"),
    say(
        "assistant",
        "",
        tool_calls=[
            call("get_weather", {"place": "Köln", "days": 2, "exact": True, "none": None}, "call00001"),
            call("get_weather", {"place": "Paris \"la belle\"", "x": 1.5, "list": [1, "zwei"]}, "call00002"),
        ],
    ),
    say("tool", "{\"sky\": \"grey\"}", name="get_weather", tool_call_id="call00001"),
    say("tool", "sunny", name="get_weather", tool_call_id="call00002"),
    say("assistant", "Grey here, sunny there."),
    say("user", "Add 1 and 2"),
    say("assistant", "I add.", tool_calls=[call("add", {"a": 1, "b": 2}, "call00003")]),
    say("tool", "3", name="add", tool_call_id="call00003"),
]
TEXT_ARGUMENTS = [
    say("user", "Go"),
    say("assistant", None, tool_calls=[call("add", "{\"a\": 1, \"b\": 2}")]),
    say("tool", "3"),
    say("user", "And?"),
]
PARTS = [
    say("user", [{"type": "text", "text": "What is "}, {"type": "image"}, {"type": "text", "text": "this?"}]),
    say("assistant", [{"type": "text", "text": "A cat."}]),
    say("user", [{"type": "text", "text": "Sure?"}]),
]
SCRIPTS = [
    say("system", "Отвечай кратко"),
    say("user", "日本語で 🙂 — naïve ﬁ ẞ İ\u2028line\u0085next\u00a0space\ttab\u0001"),
    say("assistant", "はい。\u3000"),
    say("user", "   \n\tمرحبا  \n"),
]
EMPTY = [say("user", ""), say("assistant", ""), say("user", "?")]
DEVELOPER = [say("developer", "Never apologise."), say("user", "Sorry?"), say("assistant", "No."), say("user", "Ok")]
WRONG = [say("user", "a"), say("user", "b")]
ENDS_OPEN = [say("user", "Count"), say("assistant", "1, 2,")]

CONVERSATIONS = [
    {"messages": HELLO, "add_generation_prompt": True},
    {"messages": SYSTEM, "add_generation_prompt": True, "tools": None, "documents": None},
    {"messages": TURNS, "add_generation_prompt": True},
    {"messages": TURNS, "add_generation_prompt": False},
    {"messages": THOUGHT, "add_generation_prompt": True, "enable_thinking": False, "thinking": True},
    {"messages": THOUGHT, "add_generation_prompt": True, "enable_thinking": True, "thinking": False},
    {"messages": SYSTEM, "add_generation_prompt": True, "tools": TOOLS, "reasoning_effort": "high"},
    {"messages": CALLS, "add_generation_prompt": True, "tools": TOOLS},
    {"messages": CALLS[:-1], "add_generation_prompt": False, "tools": TOOLS},
    {"messages": TEXT_ARGUMENTS, "add_generation_prompt": True, "tools": TOOLS[1:]},
    {"messages": PARTS, "add_generation_prompt": True},
    {"messages": SCRIPTS, "add_generation_prompt": True, "documents": [{"title": "Où", "text": "là"}, {"title": "2"}]},
    {"messages": EMPTY, "add_generation_prompt": True},
    {"messages": DEVELOPER, "add_generation_prompt": True},
    {"messages": WRONG, "add_generation_prompt": True},
    {"messages": ENDS_OPEN, "add_generation_prompt": False, "continue_final_message": True},
    {"messages": [], "add_generation_prompt": True},
]
