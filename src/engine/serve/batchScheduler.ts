import { BLOCK_ROWS } from '../../models/attention/rowBlocks';
import { CHUNK_TOKENS } from '../../models/decoder';
import type { Drafter } from '../../models/drafts/drafter';
import { drafterOf, stepWithDrafts, type Writer } from '../../models/drafts/stepWithDrafts';
import type { Decoder, Model, NextLogits, PromptImages, Sequence } from '../../models/model';
import { yieldToEventLoop } from '../../models/ops/ops';
import { tokensAfter } from '../../models/promptTooLong';
import { sampleToken } from '../../models/sampling/sampleToken';
import type { SamplingSettings } from '../../models/sampling/settings';
import { tokenChances, type TokenChance } from '../../models/sampling/tokenChances';
import { LoraError } from '../../shared/errors';
import type { Products } from '../../shared/products';
import { PrefixCache, type Prefix } from './prefixCache';
import type { AdapterMix, ServedModel } from './servedModels';

/** Tokens to write after a prompt. */
export interface GenerationRequest {
  readonly mix: AdapterMix;
  readonly input_ids: readonly number[];
  /** Those of the prompt. Not given, or null: none. */
  readonly images?: PromptImages | null;
  readonly stop_ids: readonly number[];
  /** Null: as many as the model has positions for. */
  readonly max_new_tokens: number | null;
  readonly sampling: SamplingSettings;
  /** What the text must be; null: anything. */
  readonly constraint: TokenConstraint | null;
  /** How many of the most likely tokens are returned; null: no log-probabilities. */
  readonly top_logprobs: number | null;
  /** Called with the log-probabilities of the prompt's tokens but the first, in several parts. */
  readonly onPrompt?: (chances: readonly TokenChances[]) => void;
  /** Called with each new token; false ends the answer. */
  readonly onToken: (id: number, chances: TokenChances | null) => boolean;
  /** Aborted by a client that is gone. */
  readonly signal: AbortSignal;
}

/** Leaves only some tokens at each place of a text. */
export interface TokenConstraint {
  /** Whether the text may end here. */
  readonly canEnd: boolean;
  /** Ids of the tokens that may come next. */
  allowed(): Int32Array;
  /** Continues by one of them. */
  push(id: number): void;
}

/** Log-probabilities at the place of a token. */
export interface TokenChances {
  readonly chosen: TokenChance;
  readonly top: readonly TokenChance[];
}

/** Why the tokens end: a stop id, max_new_tokens, or `onToken` or the signal. */
export interface GenerationEnd {
  readonly reason: 'stop' | 'length' | 'ended';
  /** Tokens of the prompt whose keys and values were there already. */
  readonly cached_tokens: number;
}

/** Limits of memory and of waiting requests. */
export interface BatchLimits {
  /** Sequences that are written at the same time. */
  readonly sequences: number;
  /** Further requests that wait. */
  readonly waiting: number;
  /** Bytes of keys and values that are kept of finished sequences. */
  readonly kept_bytes: number;
}

/** Where the models come from. */
export interface MixedModels {
  mixed(mix: AdapterMix): Promise<Pick<ServedModel, 'model'>>;
}

/**
 * The same of tokens of a prompt whose log-probabilities are returned: each has logits of its own.
 */
const TOLD_CHUNK_TOKENS = BLOCK_ROWS;

/** Steps after which requests with other adapters have their turn. */
const TURN_STEPS = 32;

interface Job {
  readonly request: GenerationRequest;
  readonly mixKey: string;
  readonly resolve: (end: GenerationEnd) => void;
  readonly reject: (error: unknown) => void;
  /** Null until it is its turn. */
  active: ActiveSequence | null;
}

interface ActiveSequence {
  readonly decoder: Decoder;
  readonly sequence: Sequence;
  readonly most: number;
  readonly cached_tokens: number;
  readonly ids: number[];
  /** Null before the first token, and where there are no drafts. */
  drafter: Drafter | null;
  /** Tokens of the prompt that are read, which an encoder keeps apart from the sequence. */
  read: number;
}

/** A request for which there is no room. */
export class TooManyRequests extends Error {}

/**
 * Continuous batching: all requests with the same adapters are written in one pass per token; they
 * join and leave at any token. Prompts are read in chunks between the steps. Requests with other
 * adapters take turns.
 */
export class BatchScheduler {
  private jobs: Job[] = [];
  private readonly prefixes: PrefixCache;
  private readonly decoders = new Map<Model, Decoder>();
  private readonly lastTurns = new Map<string, number>();
  private running: Promise<void> | null = null;
  private turns = 0;
  private closed = false;

  constructor(
    private readonly models: MixedModels,
    private readonly limits: BatchLimits,
    private readonly products: Products = 'exact',
  ) {
    this.prefixes = new PrefixCache(limits.kept_bytes);
  }

  /** Requests that are written or wait. */
  get size(): number {
    return this.jobs.length;
  }

  /** @throws TooManyRequests, LoraError */
  generate(request: GenerationRequest): Promise<GenerationEnd> {
    const { sequences, waiting } = this.limits;
    if (this.closed) return Promise.reject(isEnding());
    if (this.jobs.length >= sequences + waiting)
      return Promise.reject(
        new TooManyRequests(`${this.jobs.length} requests are waiting already.`),
      );
    return new Promise((resolve, reject) => {
      const mixKey = JSON.stringify(request.mix);
      this.jobs.push({ request, mixKey, resolve, reject, active: null });
      this.running ??= this.run();
    });
  }

  /** Ends all requests and frees all sequences. */
  async close(): Promise<void> {
    this.closed = true;
    await this.running;
    this.prefixes.clear();
  }

  private async run(): Promise<void> {
    while (this.jobs.length > 0) {
      const mixKey = this.nextMix();
      const jobs = () => this.admitted().filter((job) => job.mixKey === mixKey);
      try {
        const { model } = await this.models.mixed(jobs()[0]!.request.mix);
        await this.turn(model, jobs);
      } catch (error) {
        for (const job of jobs()) this.fail(job, error);
      }
    }
    this.lastTurns.clear();
    this.running = null;
  }

  /** One for each model, which the kept prefixes belong to. */
  private decoderOf(model: Model): Decoder {
    const decoder = this.decoders.get(model) ?? model.decoder(this.products);
    this.decoders.set(model, decoder);
    return decoder;
  }

  /** The requests that are written at the same time: the oldest. */
  private admitted(): readonly Job[] {
    return this.jobs.slice(0, this.limits.sequences);
  }

  /** The adapters that have waited longest. */
  private nextMix(): string {
    const keys = [...new Set(this.admitted().map(({ mixKey }) => mixKey))];
    const lastOf = (key: string) => this.lastTurns.get(key) ?? -1;
    const next = keys.reduce((a, b) => (lastOf(b) < lastOf(a) ? b : a));
    this.lastTurns.set(next, this.turns++);
    return next;
  }

  /** Steps of the requests with the same adapters, until there are none, or others wait. */
  private async turn(model: Model, jobs: () => readonly Job[]): Promise<void> {
    const decoder = this.decoderOf(model);
    for (let steps = 0; ; steps++) {
      for (const job of this.jobs) if (this.isOver(job)) this.endEarly(job);
      const { length } = jobs();
      const othersWait = length < this.admitted().length;
      if (length === 0 || (othersWait && steps >= TURN_STEPS)) return;
      await this.readPrompts(model, jobs);
      await this.step(decoder, jobs());
      await yieldToEventLoop();
    }
  }

  /**
   * The next chunk of the oldest prompt that is not yet read, and those behind it while all have at
   * most the tokens of one: short prompts that come together begin together, since a step of all
   * takes little longer than one of some.
   */
  private async readPrompts(model: Model, jobs: () => readonly Job[]): Promise<void> {
    for (let read = 0; ;) {
      const job = jobs().find(({ active, request }) => !active || !isRead(active, request));
      if (!job || (read > 0 && read + chunkOf(job) > CHUNK_TOKENS)) return;
      read += chunkOf(job);
      await this.readChunk(model, job);
    }
  }

  private async readChunk(model: Model, job: Job): Promise<void> {
    const decoder = this.decoderOf(model);
    try {
      const { request } = job;
      if (request.images) await model.loadImages();
      job.active ??= this.begin(decoder, job);
      const { active } = job;
      const { sequence, most } = active;
      const { input_ids, onPrompt, images } = request;
      const start = active.read;
      const end = start + chunkOf(job);
      const ids = Int32Array.from(input_ids.slice(start, end));
      const isLast = end >= input_ids.length;
      const isStopped = () => this.isOver(job);
      const all = onPrompt !== undefined;
      const options = { isLast, all, isStopped, ...(images && { images }) };
      const logits = await decoder.read(sequence, ids, options);
      active.read = end;
      if (logits === 'stopped') this.endEarly(job);
      else if (logits) {
        const rows = rowsOf(logits, all ? ids.length : 1);
        onPrompt?.(promptChances(rows, input_ids.slice(start + 1), request.top_logprobs ?? 0));
        if (isLast && most === 0) this.end(job, 'length');
        else if (isLast) this.deliver(job, { logits: rows.at(-1)!, blocks: null });
      }
    } catch (error) {
      this.fail(job, error);
    }
  }

  private begin(decoder: Decoder, { request, mixKey }: Job): ActiveSequence {
    const { input_ids, max_new_tokens, onPrompt, images } = request;
    if (input_ids.length === 0) throw new LoraError('usage', 'The prompt has no token.');
    // the tokens of images are the same for all
    const kept =
      onPrompt || images || isAnswering(decoder)
        ? null
        : this.prefixes.take(decoder, mixKey, input_ids, this.runningPrefixes(mixKey));
    const sequence = kept?.sequence ?? decoder.open();
    const known = kept?.length ?? 0;
    try {
      const left = tokensAfter(decoder, input_ids.length, { known });
      const most = Math.min(max_new_tokens ?? Infinity, left);
      return { decoder, sequence, most, cached_tokens: known, ids: [], read: known, drafter: null };
    } catch (error) {
      decoder.close(sequence);
      throw error;
    }
  }

  /** The sequences that are written with the same adapters. */
  private runningPrefixes(mixKey: string): readonly Prefix[] {
    return this.jobs.flatMap(({ request: { input_ids, images }, active, ...job }) =>
      active && !images && job.mixKey === mixKey
        ? { ids: [...input_ids, ...active.ids], sequence: active.sequence }
        : [],
    );
  }

  private async step(decoder: Decoder, jobs: readonly Job[]): Promise<void> {
    const writing = jobs.filter(({ active }) => active && active.ids.length > 0);
    if (writing.length === 0) return;
    try {
      await stepWithDrafts(
        decoder,
        writing.map((job) => this.writerOf(job)),
      );
    } catch (error) {
      for (const job of writing) this.fail(job, error);
    }
  }

  private writerOf(job: Job): Writer {
    const active = job.active!;
    const { decoder, sequence, ids, most } = active;
    active.drafter ??= drafterOf(decoder, () => [...job.request.input_ids, ...ids]);
    return {
      sequence,
      last: ids.at(-1)!,
      left: most - ids.length,
      drafter: active.drafter,
      temperature: job.request.sampling.temperature,
      choose: (next) => this.deliver(job, next),
    };
  }

  /** Chooses the next token of a request; null once it has ended. */
  private deliver(job: Job, { logits, blocks }: NextLogits): number | null {
    const { request } = job;
    const { ids, most, decoder } = job.active!;
    try {
      const { input_ids, sampling, stop_ids, top_logprobs, constraint } = request;
      const open = constraint ? constrained(logits, constraint, stop_ids) : logits;
      const text = { prompt: ownPrompt(decoder, input_ids), written: ids };
      const id = open && sampleToken(open, sampling, text, constraint ? null : blocks);
      if (id === null || stop_ids.includes(id)) {
        this.end(job, 'stop');
        return null;
      }
      ids.push(id);
      constraint?.push(id);
      const chances = top_logprobs === null ? null : tokenChances(logits, id, top_logprobs);
      if (!request.onToken(id, chances)) this.end(job, 'ended');
      else if (ids.length >= most) this.end(job, 'length');
      return job.active && id;
    } catch (error) {
      this.fail(job, error);
      return null;
    }
  }

  private isOver({ request }: Job): boolean {
    return this.closed || request.signal.aborted;
  }

  /** A part of an answer must not pass for the whole. */
  private endEarly(job: Job): void {
    if (this.closed) this.fail(job, isEnding());
    else this.end(job, 'ended');
  }

  private end(job: Job, reason: GenerationEnd['reason']): void {
    job.resolve({ reason, cached_tokens: job.active?.cached_tokens ?? 0 });
    this.remove(job);
  }

  private fail(job: Job, error: unknown): void {
    job.reject(error);
    this.remove(job);
  }

  private remove(job: Job): void {
    this.jobs = this.jobs.filter((own) => own !== job);
    const { active, mixKey, request } = job;
    job.active = null;
    if (!active) return;
    if (request.images || isAnswering(active.decoder)) {
      active.decoder.close(active.sequence);
      return;
    }
    const ids = [...request.input_ids, ...active.ids];
    this.prefixes.keep(active.decoder, mixKey, ids, active.sequence);
  }
}

const isEnding = (): LoraError => new LoraError('cancelled', 'The server is ending.');

/** Tokens of its prompt that are read at once. */
const chunkOf = ({ request: { input_ids, onPrompt }, active }: Job): number =>
  Math.min(onPrompt ? TOLD_CHUNK_TOKENS : CHUNK_TOKENS, input_ids.length - (active?.read ?? 0));

const isRead = ({ read }: ActiveSequence, { input_ids }: GenerationRequest): boolean =>
  read >= input_ids.length;

/**
 * Whether an encoder reads the prompt as a whole: what it makes of it depends on its end, so the
 * beginnings of other prompts are of no use.
 */
const isAnswering = ({ startIds = [] }: Decoder): boolean => startIds.length > 0;

/** The tokens before an answer that the decoder itself has read. */
const ownPrompt = ({ startIds = [] }: Decoder, input_ids: readonly number[]): readonly number[] =>
  startIds.length > 0 ? startIds : input_ids;

/** Logits [rows, vocab] as rows. */
function rowsOf(logits: Float32Array, rows: number): readonly Float32Array[] {
  const vocab = logits.length / rows;
  return Array.from({ length: rows }, (_, i) => logits.subarray(i * vocab, (i + 1) * vocab));
}

/** What each row says of the token that follows, as far as there are any. */
const promptChances = (
  rows: readonly Float32Array[],
  next: readonly number[],
  top_logprobs: number,
): readonly TokenChances[] =>
  rows.slice(0, next.length).map((logits, i) => tokenChances(logits, next[i]!, top_logprobs));

/** Logits of the tokens that may come next, -Infinity for the others; null: the text ends. */
function constrained(
  logits: Float32Array,
  constraint: TokenConstraint,
  stop_ids: readonly number[],
): Float32Array | null {
  const ids = constraint.allowed();
  if (ids.length === 0 && constraint.canEnd) return null;
  if (ids.length === 0)
    throw new LoraError('usage', "The base's tokenizer has no tokens to write what is asked for.");
  const open = new Float32Array(logits.length).fill(-Infinity);
  const own = constraint.canEnd ? [...ids, ...stop_ids] : ids;
  for (const id of own) if (id < logits.length) open[id] = logits[id]!;
  return open;
}
