import { messageSplitter } from '../../common/lineSplitter';
import type { Chat, ChatVariables } from '../../data/chat/chat';
import { reservedVariable } from '../../data/chat/reservedVariable';
import type { QuantizeOptions } from '../../formats/quantized/whileLoading';
import { variablesIn, type TemplateVariables } from '../../shared/chatVariables';
import { LoraError } from '../../shared/errors';
import { mayChange, parseExactly } from '../../shared/exactJson';
import { asPlainObject } from '../../shared/exactValues';
import {
  asServeRequest,
  type AnswerParts,
  type AnswerRequest,
  type RowRequest,
  type ServeEvent,
  type ServeMessage,
} from '../../shared/serveProtocol';
import { repeatedKey } from '../../shared/repeatedKeys';
import { isObject } from '../../shared/values';
import type { Products } from '../../shared/products';
import { answerPrompt, partsOf } from '../model/answer';
import { exampleOf, partsForPage, promptOf, withTools, withTurns } from '../serve/conversation';
import { readRecord } from '../run/runFolder';
import { RunRows } from '../serve/runRows';
import { ServedModels } from '../serve/servedModels';
import { quantizeOf } from '../training/open';
import { defineCommand, form } from './command';
import { quantizeOptions } from './commonOptions';
import { optional } from './options';
import { anyText } from './optionValues';
import { servedModelOptions, serveHttpForm } from './serveHttp';

/** lora serve. */
export const serveCommand = defineCommand({
  name: 'serve',
  summary: 'Keeps a base and its adapters in memory and answers requests.',
  notes: [
    'Requests and answers are JSON objects, one per line, until standard input ends.',
    'With --http they are those of OpenAI, over HTTP.',
  ],
  alwaysJson: true,
  endedBySignals: true,
  forms: [
    serveHttpForm,
    form({
      options: {
        ...servedModelOptions,
        run: optional(anyText, 'DIR', 'folder of a run, whose rows can be asked for'),
      },
      run: async ({ options }, context) => {
        const { base, adapter } = options;
        const rows = options.run === null ? null : new RunRows(options.run);
        const emit = (event: ServeEvent) => context.print(JSON.stringify(event));
        const models = await ServedModels.open(
          { base, adapters: adapter },
          { ...context, warn: (message) => emit({ kind: 'warning', message }) },
          {
            base_dtype: options['base-dtype'],
            quantize: quantizeOptions(options.quantize) ?? (await quantizeOfRun(options.run)),
            products: options.products,
            partial: options.partial,
            chat_template_kwargs: options['chat-template-kwargs'],
            onProgress: (fraction) => emit({ kind: 'progress', fraction }),
          },
        );
        try {
          emit({
            kind: 'ready',
            base,
            has_chat_template: models.tokenizer.has_chat_template,
            reads_images: 'reader' in models.rowImages,
            device: models.device,
          });
          await new RequestQueue({ models, rows, products: options.products }, emit).run();
          return 0;
        } finally {
          await rows?.close();
          await models.close();
        }
      },
    }),
  ],
});

/** What requests are answered with. */
interface Served {
  readonly models: ServedModels;
  /** Null: no run is given. */
  readonly rows: RunRows | null;
  readonly products: Products;
}

/** Reads requests while an answer is being written; answers them in order, unless stopped. */
class RequestQueue {
  private readonly waiting: (AnswerRequest | RowRequest)[] = [];
  private readonly stopped = new Set<string>();
  private currentId: string | null = null;
  private closed = false;
  private wake: () => void = () => undefined;

  constructor(
    private readonly served: Served,
    private readonly emit: (event: ServeEvent) => void,
  ) {}

  /** Answers requests until standard input ends. */
  async run(): Promise<void> {
    const lines = messageSplitter((line) => this.receive(line));
    const close = () => {
      this.closed = true;
      this.wake();
    };
    process.stdin
      .on('data', (chunk: Buffer) => lines.push(chunk))
      .on('end', () => {
        lines.end();
        close();
      })
      // the terminal was closed
      .on('error', close);
    while (!this.closed) {
      const request = this.waiting.shift();
      if (request?.kind === 'row') {
        await this.showRow(request.index);
      } else if (request) {
        await this.answer(request);
      } else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
    process.stdin.pause();
  }

  private receive(line: string): void {
    const request = requestIn(line);
    if (!request) {
      this.emit({ kind: 'error', id: null, error: invalidRequest().serialize() });
    } else if (request.kind === 'stop') {
      this.stop(request.id);
    } else {
      this.waiting.push(request);
    }
    this.wake();
  }

  /** Does nothing if the answer is finished already. */
  private stop(id: string): void {
    if (
      id === this.currentId ||
      this.waiting.some((own) => own.kind === 'answer' && own.id === id)
    ) {
      this.stopped.add(id);
    }
  }

  private isStopped(id: string): boolean {
    return this.closed || this.stopped.has(id);
  }

  private async showRow(index: number): Promise<void> {
    const { rows, models } = this.served;
    try {
      if (!rows) throw new LoraError('usage', 'There is no run: give its folder with --run.');
      this.emit({ kind: 'row', row: await rows.question(index, models.tokenizer) });
    } catch (error) {
      this.emit({ kind: 'rowFailed', error: LoraError.from(error, 'dataset').serialize() });
    }
  }

  private async answer(request: AnswerRequest): Promise<void> {
    const { id } = request;
    const started = performance.now();
    this.currentId = id;
    try {
      const written = this.isStopped(id) ? NOTHING : await this.writeAnswer(request);
      this.emit({
        kind: 'done',
        id,
        ...written,
        seconds: (performance.now() - started) / 1000,
        stopped: this.isStopped(id),
      });
    } catch (error) {
      this.emit({ kind: 'error', id, error: LoraError.from(error, 'engine').serialize() });
    } finally {
      this.stopped.delete(id);
      this.currentId = null;
    }
  }

  /** Emits an answer while it grows. */
  private async writeAnswer(request: AnswerRequest): Promise<Written> {
    const { id, adapter, scale, settings } = request;
    let tokens = 0;
    let sentLength = 0;
    const send = (text: string) => {
      if (text.length > sentLength) {
        this.emit({ kind: 'text', id, text: text.slice(sentLength) });
        sentLength = text.length;
      }
    };
    const prompt = await this.promptOf(request);
    const { model, tokenizer } = await this.served.models.with(adapter, scale);
    const answer = await answerPrompt(model, tokenizer, prompt, {
      ...settings,
      images: this.served.models.rowImages,
      products: this.served.products,
      isStopped: () => this.isStopped(id),
      onText: (text) => {
        tokens++;
        send(text);
        return !this.isStopped(id);
      },
    });
    send(answer.text);
    if (tokens === 0) return NOTHING;
    const isChat = typeof prompt !== 'string';
    const parts = isChat ? partsForPage(partsOf(tokenizer, answer.raw, prompt.variables)) : null;
    return { tokens, parts, example: exampleOf(prompt, { text: answer.text, parts }) };
  }

  private async promptOf({
    settings,
    turns,
    chat_template_kwargs,
  }: AnswerRequest): Promise<string | Chat> {
    const { rows } = this.served;
    const variables = withTools(checkedVariables(chat_template_kwargs), settings.tools);
    const { row } = settings;
    const prompt =
      rows && row !== null && settings.chat
        ? await rows.chat(row, settings, variables)
        : promptOf(settings, variables);
    return typeof prompt === 'string' ? prompt : withTurns(prompt, turns);
  }
}

/** The report on an answer at its end. */
interface Written {
  readonly tokens: number;
  readonly parts: AnswerParts | null;
  readonly example: string;
}

const NOTHING: Written = { tokens: 0, parts: null, example: '' };

const invalidRequest = (): LoraError =>
  new LoraError('usage', 'The request is not valid.', {
    fix: 'Send one JSON object per line, of the kind "answer" or "stop".',
  });

/** @throws LoraError('usage') for what a renderer sets itself, and for a key that stands twice. */
function checkedVariables(given: TemplateVariables): ChatVariables {
  const variables = variablesIn(given) ?? {};
  const repeated = typeof given === 'string' ? repeatedKey(given) : null;
  if (repeated)
    throw new LoraError(
      'usage',
      `The key "${repeated.path}" of chat_template_kwargs is duplicated.`,
    );
  const reserved = reservedVariable(variables);
  if (reserved === undefined) return variables;
  throw new LoraError('usage', `"${reserved}" cannot be set by chat_template_kwargs.`);
}

/** A request, with the variables of its template as Python reads them. */
function requestIn(line: string): ServeMessage | undefined {
  try {
    const request = asServeRequest(JSON.parse(line));
    if (request?.kind !== 'answer' || !mayChange(line)) return request;
    const { chat_template_kwargs } = parseExactly(line) as Partial<AnswerRequest>;
    const exact = asPlainObject(chat_template_kwargs);
    return isObject(exact) ? { ...request, chat_template_kwargs: exact } : request;
  } catch {
    return undefined;
  }
}

/** As the run quantized the base that its adapter was trained on. */
async function quantizeOfRun(run: string | null): Promise<QuantizeOptions | null> {
  return run === null ? null : quantizeOf((await readRecord(run)).recipe);
}
