import type {
  GenerationEnd,
  GenerationRequest,
  TokenChances,
} from '../../src/engine/serve/batchScheduler';
import { RequestQueue } from '../../src/engine/serve/http/requestQueue';
import { startServer, type Answers, type HttpServer } from '../../src/engine/serve/http/server';
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer';
import { smallTokenizer } from './datasets';

const HEAD = '<|im_start|>{{ m.role }}\n';
const CALL =
  '<tool_call>\n{"name": "{{ t.function.name }}", "arguments": {{ t.function.arguments | tojson }}}\n</tool_call>';

/** ChatML with tools, calls and reasoning. */
export const TOOL_TEMPLATE =
  '{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}' +
  `{% for m in messages %}${HEAD}` +
  "{% if m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n' }}{% endif %}" +
  `{{ m.content or "" }}{% for t in m.tool_calls or [] %}${CALL}{% endfor %}<|im_end|>\n{% endfor %}` +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Writes the same text for every request, a token at a time, without a model. */
export class WritesText {
  readonly requests: GenerationRequest[] = [];
  /** Requests that wait for `release`, if there are any. */
  gate: Promise<void> = Promise.resolve();

  constructor(
    private readonly tokenizer: Tokenizer,
    public text: string,
  ) {}

  async generate(request: GenerationRequest): Promise<GenerationEnd> {
    this.requests.push(request);
    await this.gate;
    const ids = this.tokenizer.encode(this.text, false);
    request.onPrompt?.(request.input_ids.slice(1).map((id) => chancesOf(id, 1)));
    const most = request.max_new_tokens ?? Infinity;
    for (const [i, id] of ids.entries()) {
      await new Promise((resolve) => setImmediate(resolve));
      if (request.signal.aborted) return { reason: 'ended', cached_tokens: 0 };
      if (i >= most) return { reason: 'length', cached_tokens: 0 };
      const chances = request.top_logprobs === null ? null : chancesOf(id, request.top_logprobs);
      if (!request.onToken(id, chances)) return { reason: 'ended', cached_tokens: 0 };
    }
    return { reason: 'stop', cached_tokens: 2 };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const chancesOf = (id: number, top_logprobs: number): TokenChances => ({
  chosen: { id, logprob: -0.5 },
  top: [{ id, logprob: -0.5 }].slice(0, top_logprobs),
});

/** A server with that writer, on a free port. */
export async function serveText(
  text: string,
  {
    token = null,
    chat_template = TOOL_TEMPLATE,
  }: { token?: string | null; chat_template?: string | null } = {},
): Promise<{ readonly server: HttpServer; readonly writer: WritesText }> {
  const tokenizer = smallTokenizer({ chat_template });
  const writer = new WritesText(tokenizer, text);
  const server = await startServer({ host: '127.0.0.1', token }, 0);
  const models: Answers['models'] = {
    tokenizer,
    checkMix: () => undefined,
    start_id: null,
    purposeOf: () => 'text',
    rowImages: { refused: 'The model reads no images' },
    mixed: () => Promise.reject(new Error('There is no model.')),
  };
  const queue = new RequestQueue(1);
  server.open({ models, names: ['a', 'b'], scheduler: writer, queue });
  return { server, writer };
}
