import { throwIfCancelled } from '../../common/cancellation';
import type { Environment } from '../../common/programs';
import type { Disposable } from '../../common/signal';
import type { Answer, Asked, Question, QuestionKind, Reply } from '../../inspect/questions';
import { LoraError, type ErrorArea } from '../../shared/errors';
import { t } from '../text/l10n';
import { InspectionProcess, ProcessEnded, type Ending } from './inspectionProcess';

/** How the process is started, and what it may take. */
export interface InspectionOptions {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/inspect.js. */
  readonly script: string;
  readonly env: () => Environment;
  readonly limits?: Partial<InspectionLimits>;
}

/** The limits for reading a file. */
export interface InspectionLimits {
  /** Seconds until an answer. */
  readonly seconds: number;
  /** MiB of JavaScript's values. */
  readonly heap: number;
  /** Seconds without a question after which the process is ended. */
  readonly idle: number;
}

const LIMITS: InspectionLimits = { seconds: 60, heap: 256, idle: 60 };

/** Those of other questions are 'dataset'. */
const AREAS: Readonly<Partial<Record<QuestionKind, ErrorArea>>> = {
  tensorFile: 'base',
  values: 'base',
  findings: 'adapter',
  base: 'base',
};

/**
 * Reads files of models and datasets for the extension host, in a separate process: what one of
 * them does to memory and time ends that process, not the extension host. Questions are answered
 * one after the other; the process is started with the first, and ended when there are none.
 */
export class Inspections implements Disposable {
  private process: InspectionProcess | undefined;
  private last: Promise<unknown> = Promise.resolve();
  private idle: NodeJS.Timeout | undefined;
  private readonly limits: InspectionLimits;
  private readonly closed = new AbortController();

  constructor(private readonly options: InspectionOptions) {
    this.limits = { ...LIMITS, ...options.limits };
  }

  /**
   * The answer to a question.
   *
   * @throws LoraError as the question's own code does; also when it takes too much memory or time,
   *   ends the process, or is cancelled by `signal`.
   */
  ask<K extends QuestionKind>(
    kind: K,
    asked: Asked<K>,
    signal: AbortSignal = this.closed.signal,
  ): Promise<Answer<K>> {
    const question = { kind, asked } as Question;
    const either = AbortSignal.any([signal, this.closed.signal]);
    const answer = this.last.then(() => this.exchange(question, either));
    this.last = answer.catch(() => undefined);
    return answer as Promise<Answer<K>>;
  }

  /** Ends the process. */
  dispose(): void {
    clearTimeout(this.idle);
    this.closed.abort();
    this.process?.end({ kind: 'closed' });
  }

  private async exchange(question: Question, signal: AbortSignal): Promise<unknown> {
    throwIfCancelled(signal, t('Reading the file was cancelled.'));
    clearTimeout(this.idle);
    const process = this.running();
    const end = (kind: 'late' | 'closed') => process.end({ kind });
    const cancel = () => end('closed');
    const timer = setTimeout(() => end('late'), 1000 * this.limits.seconds);
    signal.addEventListener('abort', cancel);
    try {
      return answerIn(await process.ask(question));
    } catch (error) {
      throw error instanceof ProcessEnded ? this.explained(error, question) : error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', cancel);
      this.endWhenIdle();
    }
  }

  private running(): InspectionProcess {
    if (this.process && this.process.ending === undefined) return this.process;
    const { node, script, env } = this.options;
    return (this.process = new InspectionProcess({
      node,
      script,
      env: env(),
      heap: this.limits.heap,
    }));
  }

  private endWhenIdle(): void {
    this.idle = setTimeout(() => this.process?.end({ kind: 'closed' }), 1000 * this.limits.idle);
    this.idle.unref();
  }

  /** The end of the process as an error for the user. */
  private explained(error: ProcessEnded, { kind, asked }: Question): LoraError {
    const { ending } = error;
    const isCancelled = ending.kind === 'closed';
    const file = 'file' in asked ? asked.file : undefined;
    return new LoraError(
      isCancelled ? 'cancelled' : (AREAS[kind] ?? 'dataset'),
      this.sentence(ending),
      {
        ...(file !== undefined && { place: { file } }),
        ...(!isCancelled && {
          fix: t('The file may be damaged or malicious. Check where it comes from.'),
        }),
        cause: error,
      },
    );
  }

  private sentence(ending: Ending): string {
    switch (ending.kind) {
      case 'memory':
        return t('Reading the file takes too much memory, so it was stopped.');
      case 'died':
        return t('The process that read this ended unexpectedly: {0}.', ending.how);
      case 'late':
        return t(
          'Reading the file takes more than {0} seconds, so it was stopped.',
          this.limits.seconds,
        );
      case 'tooMuch':
        return t('The file contains more than can be shown.');
      case 'closed':
        return t('Reading the file was cancelled.');
    }
  }
}

/** What a feature needs to ask. */
export type AskInspections = Pick<Inspections, 'ask'>;

function answerIn(reply: Reply): unknown {
  if (reply.kind === 'answer') return reply.answer;
  throw LoraError.deserialize(reply.error);
}
