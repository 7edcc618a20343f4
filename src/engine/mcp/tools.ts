import { stat } from 'node:fs/promises';
import path from 'node:path';
import { safeEnvironment } from '../../common/programs';
import { removeWithin } from '../../common/withoutLinks';
import { baseOnDisk } from '../../formats/hub/baseOnDisk';
import {
  comparisonAnswer,
  evaluationAnswer,
  evaluationFacts,
  runAnswer,
  runsAnswer,
  startAnswer,
} from '../../formats/run/agents/answers';
import { comparisonFacts, runFacts } from '../../formats/run/agents/facts';
import { startEngine } from '../../formats/run/startEngine';
import { isActiveHere, type RunSummary } from '../../formats/run/summary';
import { toolInput, type AgentTool, type AgentToolName } from '../../shared/agentTools';
import type { CheckedRecipe } from '../../shared/checkedRecipe';
import { LoraError } from '../../shared/errors';
import type { ComparisonData } from '../../shared/pages/compare/protocol';
import { RUN_FILES } from '../../shared/run';
import { newRunDir } from '../run/runFolder';
import { resultOf } from './childCommand';
import type { Workspace } from './workspace';

/** What a client gets: a text for the language model, and the same as data. */
export interface ToolAnswer {
  readonly text: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A call of a tool. */
export interface ToolCall {
  /** Aborted when the client cancels it, or is gone. */
  readonly signal: AbortSignal;
  readonly onProgress: (phase: string, fraction: number) => void;
}

type Input = Readonly<Record<string, string>>;
type Handler = (input: Input, call: ToolCall) => Promise<ToolAnswer>;

/** Answers the tools of the table for one folder. */
export class Tools {
  private readonly handlers: Readonly<Record<AgentToolName, Handler>> = {
    lora_list_runs: () => this.beside(() => this.listRuns()),
    lora_explain_run: ({ run }) => this.beside(() => this.explainRun(run!)),
    lora_compare_adapters: ({ a, b }, call) => this.alone(call, () => this.compare(a!, b!, call)),
    lora_evaluate_adapter: (input, call) => this.alone(call, () => this.evaluate(input, call)),
    lora_start_recipe: (input, call) => this.alone(call, () => this.start(input, call)),
  };
  /** The end of the call that is at work, which needs the processor: one at a time. */
  private last: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  private reading = 0;

  /** `cli`: absolute path of dist/cli.js. */
  constructor(
    private readonly workspace: Workspace,
    private readonly cli: string,
  ) {}

  /** @throws LoraError for wrong input, and where a tool cannot do what is asked */
  async answer(tool: AgentTool, given: unknown, call: ToolCall): Promise<ToolAnswer> {
    return this.handlers[tool.name as AgentToolName](toolInput(tool, given), call);
  }

  /** Runs what takes long after all such calls before it. */
  private async alone<T>({ signal }: ToolCall, work: () => Promise<T>): Promise<T> {
    if (this.waiting >= MAX_WAITING) throw tooMany();
    this.waiting++;
    const turn = this.last.then(() => {
      if (signal.aborted) throw new LoraError('cancelled', 'The call was cancelled.');
      return work();
    });
    this.last = turn.catch(() => undefined);
    return turn.finally(() => this.waiting--);
  }

  /** Runs what takes short, beside what takes long. */
  private async beside<T>(work: () => Promise<T>): Promise<T> {
    if (this.reading >= MAX_WAITING) throw tooMany();
    this.reading++;
    return work().finally(() => this.reading--);
  }

  private async listRuns(): Promise<ToolAnswer> {
    const runs = (await this.workspace.runs()).map(({ run }) => run);
    return { text: runsAnswer(runs), facts: { runs: runs.map(runFacts) } };
  }

  private async explainRun(name: string): Promise<ToolAnswer> {
    const { run, record } = await this.workspace.run(name);
    return {
      text: await runAnswer(run, record ?? undefined),
      facts: { run: runFacts(run), recipe: record?.recipe ?? null, result: record?.result ?? null },
    };
  }

  private async compare(a: string, b: string, call: ToolCall): Promise<ToolAnswer> {
    const adapters = [await this.adapter(a), await this.adapter(b)];
    const result = (await this.run(['compare', ...adapters], call)) as unknown as ComparisonData;
    return { text: comparisonAnswer(result), facts: comparisonFacts(result) };
  }

  private async evaluate(
    { run: name, dataset, model = 'adapter' }: Input,
    call: ToolCall,
  ): Promise<ToolAnswer> {
    const { run } = await this.workspace.run(name!);
    const file = await this.workspace.file(dataset!);
    const adapter = await this.adapterOf(run);
    const base = await baseOnDisk(adapter, run.base);
    if (base === null)
      throw new LoraError('base', `The base of ${run.id} is not on this machine: ${run.base}.`);
    const args = ['evaluate', '--base', base, '--dataset', file];
    const own = model === 'base' ? [] : ['--adapter', adapter];
    const result = await this.run([...args, ...own], call);
    return { text: evaluationAnswer(result), facts: { model, ...evaluationFacts(result) } };
  }

  private async start({ recipe, when = 'queue' }: Input, call: ToolCall): Promise<ToolAnswer> {
    const file = await this.workspace.recipe(recipe!);
    const active = (await this.workspace.runs()).find(({ run }) => isActiveHere(run));
    if (active && when !== 'now') return startedAnswer('busy', active.run);
    await this.check(file, call);
    const dir = newRunDir(file);
    const args = ['train', file, '--run-dir', dir];
    const command = { node: process.execPath, cli: this.cli, args, runDir: dir };
    try {
      await startEngine({ ...command, env: this.environment() });
    } catch (error) {
      await removeFailedStart(dir);
      throw error;
    }
    const { run } = await this.workspace.run(path.basename(dir));
    if (run.state !== 'failed') return startedAnswer('started', run);
    throw new LoraError('run', `${run.id} failed: ${run.problem ?? 'its log says why'}`, {
      place: { file: run.dir },
    });
  }

  /** Such a training run would stop before its first step. @throws LoraError('recipe') */
  private async check(recipe: string, call: ToolCall): Promise<void> {
    const checked = (await this.run(['check', recipe], call)) as unknown as CheckedRecipe;
    const problems = [checked, ...checked.datasets]
      .flatMap((own) => own.problems)
      .filter(({ severity }) => severity === 'error');
    if (problems.length === 0) return;
    throw new LoraError('recipe', 'The recipe or its data has errors.', {
      place: { file: recipe },
      problems,
    });
  }

  private async adapter(name: string): Promise<string> {
    return this.adapterOf((await this.workspace.run(name)).run);
  }

  /** A run may be untrusted: its adapter may be a link that leads elsewhere. */
  private async adapterOf({ id, dir, adapter }: RunSummary): Promise<string> {
    if (adapter !== null) return this.workspace.inside(adapter);
    throw new LoraError(
      'adapter',
      `${id} has no adapter yet. It is saved when a run ends or is stopped.`,
      { place: { file: dir } },
    );
  }

  private run(args: readonly string[], call: ToolCall) {
    return resultOf({ cli: this.cli, args, env: this.environment(), ...call });
  }

  /** No program or library of the workspace is loaded. */
  private environment() {
    return safeEnvironment(process.env, [this.workspace.root]);
  }
}

/** The most calls that wait for another one, which may take minutes; and that read runs at once. */
const MAX_WAITING = 16;

const tooMany = (): LoraError =>
  new LoraError('usage', 'Too many calls wait already: try again later.');

const startedAnswer = (outcome: 'started' | 'busy', run: RunSummary): ToolAnswer => ({
  text: startAnswer(outcome, run),
  facts: { outcome, run: runFacts(run) },
});

/** Without a run.json the engine never got as far as a run. */
async function removeFailedStart(dir: string): Promise<void> {
  const isRun = await stat(path.join(dir, RUN_FILES.record)).catch(() => null);
  if (!isRun) await removeWithin(dir).catch(() => undefined);
}
