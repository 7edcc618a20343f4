"""LangChain and LlamaIndex against a server: python libraries.py http://127.0.0.1:8000/v1"""

import json
import sys

from langchain_openai import ChatOpenAI, OpenAI
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

URL = sys.argv[1]
QUESTION = "What is the capital of France?"
SCHEMA = {
    "title": "City",
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
given = {"base_url": URL, "api_key": "none", "model": "base", "temperature": 0, "max_tokens": 24}

chat = ChatOpenAI(**given)
answer = chat.invoke(QUESTION)
print("LangChain, chat:", answer.content)
assert answer.usage_metadata["output_tokens"] > 0
streamed = "".join(part.content for part in chat.stream(QUESTION))
assert streamed == answer.content, (streamed, answer.content)
batch = chat.batch([QUESTION, "What is 1 + 1?"])
assert batch[0].content == answer.content
city = chat.with_structured_output(SCHEMA, method="json_schema").invoke(QUESTION)
print("LangChain, JSON by a schema:", json.dumps(city))
assert list(city) == ["city"]
text = OpenAI(**given).invoke("The capital of France is")
print("LangChain, text:", text)

llm = OpenAILike(
    api_base=URL, api_key="none", model="base", is_chat_model=True, temperature=0, max_tokens=24
)
message = ChatMessage(role="user", content=QUESTION)
reply = llm.chat([message]).message.content
print("LlamaIndex, chat:", reply)
assert reply == answer.content
*_, last = llm.stream_chat([message])
assert last.message.content == reply
