import type { TargetReport } from '../../targets/target';
import type { Jobs } from '../jobs/jobs';
import { t } from '../text/l10n';
import type { TargetStore } from './targetStore';

/** A run on a target, started from here or elsewhere. */
export interface RunThere {
  readonly job: string;
}

/** What a run needs on a target. */
export interface SendPlan {
  readonly items: readonly SentItem[];
  /** Bases that the target has, by the path there. */
  readonly there: readonly string[];
  readonly report: TargetReport;
}

/** Files that are sent together. Bytes. */
export interface SentItem {
  readonly label: string;
  readonly bytes: number;
  readonly present: boolean;
}

/** Something on a target that no run there uses. Bytes. */
export interface Unused {
  readonly id: string;
  readonly bytes: number;
}

/** How long a target may take to answer. */
const ANSWER_MS = 60_000;
/** A cluster may have to run a job that looks at its storage. */
const CLEAN_MS = 15 * 60_000;

/** Asks targets, with commands of the engine. */
export class TargetJobs {
  constructor(
    private readonly jobs: Pick<Jobs, 'ask' | 'run'>,
    private readonly targets: Pick<TargetStore, 'environment'>,
  ) {}

  /**
   * The resources of a target, and what is missing there. @throws LoraError when it cannot be
   * reached
   */
  check(name: string): Promise<TargetReport> {
    return this.ask<TargetReport>(['targets', 'check', name]);
  }

  /** The runs that a target knows, the newest first. @throws as `check` does */
  async runs(name: string): Promise<readonly RunThere[]> {
    const { runs } = await this.ask<{ readonly runs: readonly RunThere[] }>([
      'targets',
      'runs',
      name,
    ]);
    return runs;
  }

  /**
   * What is sent before a recipe can be trained on a target. All of its files are read. Undefined:
   * cancelled.
   *
   * @throws LoraError when something cannot be sent, or as `check` does
   */
  async plan(name: string, recipe: string): Promise<SendPlan | undefined> {
    return this.jobs.run<SendPlan>(
      t('Preparing the files to send to {0}', name),
      ['targets', 'plan', name, recipe],
      false,
      await this.targets.environment(),
    );
  }

  /** Stops a run at once and removes its files there. @throws as `check` does */
  async remove(runDir: string): Promise<void> {
    await this.ask(['stop', '--remove', runDir]);
  }

  /** Items on a target that no run uses and that are not new. @throws as `check` does */
  async unused(name: string): Promise<readonly Unused[]> {
    const { unused } = await this.ask<{ readonly unused: readonly Unused[] }>(
      ['targets', 'clean', name],
      CLEAN_MS,
    );
    return unused;
  }

  /** Removes it. Gives the ids of what is gone. @throws as `check` does */
  async clean(name: string): Promise<readonly string[]> {
    const { removed } = await this.ask<{ readonly removed: readonly string[] }>(
      ['targets', 'clean', name, '--yes'],
      CLEAN_MS,
    );
    return removed;
  }

  private async ask<R>(args: readonly string[], limit = ANSWER_MS): Promise<R> {
    const env = await this.targets.environment();
    return this.jobs.ask<R>(args, AbortSignal.timeout(limit), env);
  }
}
