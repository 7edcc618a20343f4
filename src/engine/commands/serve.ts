import { createInterface } from 'node:readline';
import type { Message } from '../../data/chat/chat';
import { LoraError } from '../../shared/errors';
import {
  asServeRequest,
  type AnswerRequest,
  type AnswerSettings,
  type ServeEvent,
} from '../../shared/serveProtocol';
import { answerPrompt } from '../model/answer';
import { ServedModels } from '../serve/servedModels';
import type { Context } from './context';
import { dtypeOf, readOptions, required, usageError } from './options';

export const SERVE_USAGE =
  'lora serve --base PATH [--adapter DIR…] [--base-dtype auto|float32|bfloat16]  (answers requests on standard input, a JSON object a line)';

/**
 * Keeps a base and its adapters in memory and answers what is asked on standard input, one after
 * another, until that ends.
 */
export async function serve(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    {
      base: { type: 'string' },
      adapter: { type: 'string', multiple: true },
      'base-dtype': { type: 'string' },
    },
    SERVE_USAGE,
  );
  if (positionals.length > 0)
    throw usageError(`${JSON.stringify(positionals[0])} is not an option`, SERVE_USAGE);
  const base = required(values.base, 'base', SERVE_USAGE);
  const emit = (event: ServeEvent) => context.print(JSON.stringify(event));
  const answerers = await ServedModels.open(
    { base, adapters: values.adapter ?? [] },
    { ...context, warn: (message) => emit({ kind: 'warning', message }) },
    {
      base_dtype: dtypeOf(values['base-dtype'], 'auto', SERVE_USAGE),
      onProgress: (fraction) => emit({ kind: 'progress', fraction }),
    },
  );
  try {
    emit({
      kind: 'ready',
      base,
      has_chat_template: answerers.tokenizer.has_chat_template,
      device: answerers.device,
    });
    await new Desk(answerers, emit, context.signal).untilClosed();
    return 0;
  } finally {
    await answerers.close();
  }
}

/** Takes requests while an answer is being written, and stops those that are no longer wanted. */
class Desk {
  private readonly waiting: AnswerRequest[] = [];
  private readonly stopped = new Set<string>();
  private writing: string | null = null;
  private closed = false;
  private wake: () => void = () => undefined;

  constructor(
    private readonly answerers: ServedModels,
    private readonly emit: (event: ServeEvent) => void,
    private readonly signal: AbortSignal,
  ) {}

  async untilClosed(): Promise<void> {
    const lines = createInterface({ input: process.stdin });
    const close = () => {
      this.closed = true;
      this.wake();
    };
    lines.on('line', (line) => this.take(line)).on('close', close);
    this.signal.addEventListener('abort', close);
    while (!this.closed) {
      const request = this.waiting.shift();
      if (request) await this.answer(request);
      else
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
    }
    lines.close();
  }

  private take(line: string): void {
    const request = asServeRequest(jsonOf(line));
    if (!request)
      this.emit({
        kind: 'error',
        id: null,
        error: new LoraError('usage', 'A request was not understood.', {
          fix: SERVE_USAGE,
        }).serialize(),
      });
    else if (request.kind === 'stop') this.stop(request.id);
    else this.waiting.push(request);
    this.wake();
  }

  /** Of an answer that is there already nothing is left to stop. */
  private stop(id: string): void {
    if (id === this.writing || this.waiting.some((request) => request.id === id))
      this.stopped.add(id);
  }

  private async answer({ id, adapter, scale, settings }: AnswerRequest): Promise<void> {
    const isStopped = () => this.closed || this.stopped.has(id);
    this.writing = id;
    const started = performance.now();
    let [sent, tokens] = ['', 0];
    const send = (text: string, whole: boolean) => {
      const ready = whole ? text : text.replace(/\ufffd+$/, ''); // half a character is held back
      if (ready.length <= sent.length) return;
      this.emit({ kind: 'text', id, text: ready.slice(sent.length) });
      sent = ready;
    };
    try {
      if (!isStopped()) {
        const { model, tokenizer } = await this.answerers.with(adapter, scale);
        const onText = (text: string) => {
          tokens++;
          send(text, false);
          return !isStopped();
        };
        send(
          await answerPrompt(model, tokenizer, messagesOf(settings), { ...settings, onText }),
          true,
        );
      }
      this.emit({
        kind: 'done',
        id,
        tokens,
        seconds: (performance.now() - started) / 1000,
        stopped: isStopped(),
      });
    } catch (error) {
      this.emit({ kind: 'error', id, error: LoraError.from(error, 'engine').serialize() });
    } finally {
      this.stopped.delete(id);
      this.writing = null;
    }
  }
}

function messagesOf({ prompt, system, chat }: AnswerSettings): string | readonly Message[] {
  return chat && system.trim() !== ''
    ? [
        { role: 'system', content: system },
        { role: 'user', content: prompt },
      ]
    : prompt;
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
