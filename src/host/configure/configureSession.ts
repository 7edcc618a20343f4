import { recipeAdvice, type TriedRun } from '../../shared/advice/recipeAdvice';
import { rowsOf } from '../setup/rowCount';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { kindNames, layerOf, targetsFor } from '../../lora/selection';
import { matchTargets } from '../../lora/targets';
import type { TargetableModule } from '../../lora/adapter';
import type {
  AdviceLine,
  ConfigureHostMessage,
  Figures,
  RankSettings,
} from '../../shared/pages/configure/protocol';
import { LoraError } from '../../shared/errors';
import { distillationOf } from '../../shared/objective';
import type { Recipe } from '../../shared/recipe';
import { parseRecipe } from '../../shared/recipeFile';
import { withRank } from '../../shared/pages/configure/withRank';
import { namesRemoteFiles } from '../recipe/recipeFiles';
import type { AskInspections } from '../inspection/inspections';
import { readBaseFacts, recipeOfBase, type BaseFacts } from '../setup/costs';
import type { RecipeOfBase } from '../../inspect/questions';
import type { DatasetFacts } from '../setup/datasetFacts';
import { t } from '../text/l10n';
import { adviceFor, type Advice, type AdviceAct, type UsedRank } from './advice';
import { editRecipe } from './editRecipe';
import { figuresOf } from './figures';
import { sizesHere } from './sizes';
import { withChoice } from './recipeEdits';

/** What a session needs from other features. */
export interface ConfigureParts {
  readonly inspections: AskInspections;
  /** The newest adapter of a recipe; null without one. */
  readonly newestAdapter: (recipe: string) => string | null;
  /** How much of its rank an adapter uses; null where nothing may be read. */
  readonly usedRank: (adapter: string) => Promise<UsedRank | null>;
  /** The runs of the workspace that have ended with a score. */
  readonly triedRuns: () => Promise<readonly TriedRun[]>;
  /** Calls a listener whenever runs have changed, until the result is disposed. */
  readonly onDidChangeRuns: (listener: () => void) => { dispose(): unknown };
  /** Whether the user has opened the page of a recipe in this session: VS Code restores pages. */
  readonly wasOpened: (recipe: string) => boolean;
  /** Counts the rows and tokens of a recipe's datasets; null: they cannot be counted. */
  readonly datasetFacts: (recipe: Recipe) => Promise<DatasetFacts | null>;
  /** Resizes an adapter, after asking where to. */
  readonly resize: (adapter: string, rank: number) => Promise<void>;
}

interface Read {
  readonly recipe: Recipe;
  readonly base: BaseFacts;
  readonly chosen: readonly TargetableModule[];
}

/**
 * The page of one recipe: sends its rank, targets and costs whenever the recipe changes, and writes
 * the user's choices to the recipe.
 */
export class ConfigureSession implements vscode.Disposable {
  private base: { readonly key: string; readonly facts: BaseFacts } | undefined;
  /** The model that the recipe learns from. */
  private teacher: BaseFacts | null = null;
  private rows: { readonly dataset: string; readonly rows: number | null } | undefined;
  private facts: { readonly key: string; readonly facts: DatasetFacts | null } | undefined;
  private used: UsedRank | null = null;
  private tried: readonly TriedRun[] = [];
  /** The adapter whose rank was asked for. */
  private inspected: string | null = null;
  private read: Read | undefined;
  private advice: readonly Advice[] = [];
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private applied = 0;
  private readonly listeners: readonly { dispose(): unknown }[];

  constructor(
    private readonly recipe: vscode.Uri,
    private readonly parts: ConfigureParts,
    private readonly send: (message: ConfigureHostMessage) => void,
  ) {
    this.listeners = [
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        if (document.uri.toString() === recipe.toString()) this.showSoon();
      }),
      vscode.workspace.onDidSaveTextDocument((document) => {
        if (document.uri.toString() === recipe.toString()) this.showSoon();
      }),
      parts.onDidChangeRuns(() => void this.adviseAfterRun()),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.showSoon()),
    ];
  }

  /** Sends everything to a page that was just loaded. */
  async start(): Promise<void> {
    this.applied = 0;
    this.tried = await this.parts.triedRuns();
    await this.show();
    if (this.read) this.send({ kind: 'sizes', sizes: await sizesHere(this.parts.inspections) });
    await this.adviseAfterRun();
  }

  /** Sends the advice again if a run of the recipe has saved a newer adapter. */
  private async adviseAfterRun(): Promise<void> {
    const adapter = this.parts.newestAdapter(this.recipe.fsPath);
    if (adapter === null || adapter === this.inspected) return;
    this.inspected = adapter;
    this.used = await this.parts.usedRank(adapter).catch(() => null);
    if (!this.read || !this.used) return;
    const { recipe } = this.read;
    this.send({
      kind: 'advice',
      advice: this.advise(this.read, this.figures(this.read, settingsOf(recipe))),
    });
  }

  /** Sends the costs of settings that are not applied yet. `chosen`: indices of modules. */
  preview(settings: RankSettings, chosen: readonly number[]): void {
    if (!this.read) return;
    const { base, recipe } = this.read;
    this.send({
      kind: 'figures',
      figures: this.figures({ recipe, base, chosen: at(base.modules, chosen) }, settings),
    });
  }

  /**
   * Writes a choice to the recipe, after any earlier one. The change of the document then updates
   * the page. `id`: echoed to the page once the choice was applied.
   */
  apply(id: number, settings: RankSettings, chosen: readonly number[]): Promise<void> {
    return this.inTurn(async () => {
      try {
        if (this.read) await this.write(settings, at(this.read.base.modules, chosen));
      } finally {
        this.applied = id;
        this.showSoon();
      }
    });
  }

  /**
   * Performs the action of an advice's button.
   *
   * @throws LoraError when the recipe cannot be saved or the adapter cannot be resized.
   */
  act(index: number): Promise<void> {
    const act: AdviceAct | undefined = this.advice[index]?.button?.act;
    if (!act) return Promise.resolve();
    if (act.kind === 'resize') return this.parts.resize(act.adapter, act.rank);
    return this.inTurn(async () => {
      if (!this.read) return;
      const { recipe, base, chosen } = this.read;
      if (act.kind === 'change')
        await this.write(
          { ...withRank(settingsOf(recipe), act.change.r ?? recipe.lora.r), ...act.change },
          chosen,
        );
      else
        await this.write(
          settingsOf(recipe),
          base.modules.filter((m) => m.kind === 'linear' && !m.is_output),
        );
    });
  }

  /** Runs writes one after the other. */
  private inTurn(write: () => Promise<void>): Promise<void> {
    this.writing = this.writing.catch(() => undefined).then(write);
    return this.writing;
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const listener of this.listeners) listener.dispose();
  }

  private async write(settings: RankSettings, chosen: readonly TargetableModule[]): Promise<void> {
    const { modules } = this.read!.base;
    await editRecipe(this.recipe, (text) => {
      const { lora } = parseRecipe(text, this.recipe.fsPath);
      const before = matchTargets(modules, lora).matched;
      const isUnchanged =
        chosen.length === 0 ||
        (chosen.length === before.length && chosen.every((m, i) => m === before[i]));
      return withChoice(text, lora, {
        settings,
        targets: isUnchanged ? null : targetsFor(modules, new Set(chosen.map((m) => m.path))),
      });
    });
  }

  private showSoon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.show(), 100);
  }

  private async show(): Promise<void> {
    try {
      const { recipe, base, chosen, dirty } = await this.readRecipe();
      const settings = settingsOf(recipe);
      const figures = this.figures({ recipe, base, chosen }, settings);
      const kind = kindNames(base.modules);
      const modules = base.modules.map((m) => ({
        path: m.path,
        kind: kind(m),
        layer: layerOf(m.path),
        in_features: m.in_features,
        out_features: m.out_features,
      }));
      const chosenModules = new Set(chosen);
      this.send({
        kind: 'recipe',
        file: path.basename(this.recipe.fsPath),
        base: base.name,
        modules,
        settings,
        applied: this.applied,
        dirty,
        chosen: base.modules.flatMap((m, i) => (chosenModules.has(m) ? [i] : [])),
        figures,
        advice: this.advise({ recipe, base, chosen }, figures),
      });
    } catch (error) {
      this.read = undefined;
      const message = LoraError.from(error, 'recipe').describe();
      this.send({
        kind: 'fault',
        message,
        ...(error instanceof BaseNotFound && { missing: 'base' }),
      });
    }
  }

  private figures({ base, recipe, chosen }: Read, settings: RankSettings): Figures {
    const { teacher } = this;
    const facts = this.facts?.facts ?? null;
    return figuresOf(base, recipe, { settings, chosen, facts, teacher });
  }

  /** Null: the recipe has none, or it cannot be read, which the recipe shows. */
  private async teacherOf(recipe: Recipe): Promise<BaseFacts | null> {
    const file = distillationOf(recipe)?.teacher ?? null;
    if (file === null) return null;
    if (this.teacher?.path === file) return this.teacher;
    return readBaseFacts(this.parts.inspections, file).catch(() => null);
  }

  /** Counts the rows, unless that was done for the same data; the page is then shown again. */
  private async count(recipe: Recipe): Promise<void> {
    const key = dataKey(recipe);
    if (this.facts?.key === key) return;
    this.facts = { key, facts: null };
    const facts = await this.parts.datasetFacts(recipe);
    if (this.facts.key !== key || facts === null) return;
    this.facts = { key, facts };
    this.showSoon();
  }

  private advise({ recipe, base, chosen }: Read, figures: Figures): AdviceLine[] {
    this.advice = adviceFor({
      method: recipe.training.method,
      continued: recipe.lora.init_adapter,
      base,
      settings: settingsOf(recipe),
      chosen,
      figures,
      rows: this.rows?.rows ?? null,
      used: this.used,
      rates: recipeAdvice(recipe, { rows: null, runs: this.tried }),
    });
    return this.advice.map(({ text, button }, act) => ({
      text,
      button: button && { label: button.label, act },
    }));
  }

  /** Throws if the files that a recipe names may be a stranger's choice. */
  private refuseForeignPaths(text: string): void {
    if (!vscode.workspace.isTrusted)
      throw new LoraError('recipe', t('The model is not read until the workspace is trusted.'));
    if (namesRemoteFiles(text) && !this.parts.wasOpened(this.recipe.fsPath))
      throw new LoraError('recipe', t('The recipe names files on a server.'), {
        fix: t('Open this page again from the recipe to read them.'),
      });
  }

  private async readRecipe(): Promise<Read & { readonly dirty: boolean }> {
    const document = await vscode.workspace.openTextDocument(this.recipe);
    this.refuseForeignPaths(document.getText());
    const recipe = parseRecipe(document.getText(), this.recipe.fsPath);
    const { inspections } = this.parts;
    const wanted = recipeOfBase(recipe);
    const key = JSON.stringify([recipe.base, wanted]);
    if (!this.base || this.base.key !== key)
      this.base = { key, facts: await readBase(inspections, recipe.base, wanted) };
    const base = this.base.facts;
    const dataset = JSON.stringify(recipe.dataset);
    if (this.rows?.dataset !== dataset)
      this.rows = { dataset, rows: await rowsOf(inspections, recipe.dataset) };
    const { matched, unmatched } = matchTargets(base.modules, recipe.lora);
    const [unknown] = unmatched;
    if (unknown) {
      throw new LoraError(
        'recipe',
        unknown.nearest === undefined
          ? t('No module is named {0}.', unknown.name)
          : t('No module is named {0}. Did you mean {1}?', unknown.name, unknown.nearest),
        { place: { file: this.recipe.fsPath, key: 'lora.target_modules' } },
      );
    }
    this.teacher = await this.teacherOf(recipe);
    this.read = { recipe, base, chosen: matched };
    void this.count(recipe);
    return { ...this.read, dirty: document.isDirty };
  }
}

/** What the tokens of the rows depend on: everything but the adapter and the course of training. */
const dataKey = ({ training: { max_length }, ...others }: Recipe): string =>
  JSON.stringify({ ...others, lora: null, samples: null, max_length });

const settingsOf = ({ lora: { r, lora_alpha, use_rslora, use_dora } }: Recipe): RankSettings => ({
  r,
  lora_alpha,
  use_rslora,
  use_dora,
});

const at = (modules: readonly TargetableModule[], indices: readonly number[]) =>
  modules.filter((_, i) => indices.includes(i));

/** The recipe names a base model that is not there. */
class BaseNotFound extends LoraError {}

/** @throws BaseNotFound; LoraError('base') for a base model that cannot be trained. */
async function readBase(
  inspections: AskInspections,
  file: string,
  recipe: RecipeOfBase,
): Promise<BaseFacts> {
  try {
    return await readBaseFacts(inspections, file, recipe);
  } catch (cause) {
    if (await stat(file).catch(() => null)) throw cause;
    throw new BaseNotFound('base', t('There is no base model at {0}.', file), {
      fix: t('Download one, or change “base” in the recipe.'),
      cause,
    });
  }
}
