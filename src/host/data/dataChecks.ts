import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as vscode from 'vscode';
import { pathExists } from '../../common/fileStatus';
import { excludedFileOf } from '../../formats/excludedRows';
import { isSamePath } from '../../common/samePath';
import type { CheckedRecipe } from '../../shared/checkedRecipe';
import { LoraError, type Problem } from '../../shared/errors';
import { onFilesDeleted } from '../files/deletions';
import type { RecipeDiagnostics } from '../recipe/diagnostics';
import { isRecipe } from '../recipe/isRecipe';
import { toDiagnostic as problemDiagnostic } from '../recipe/recipeDiagnostic';
import { missingFiles, namesRemoteFiles } from '../recipe/recipeFiles';
import { recipeProblems } from '../recipe/recipeProblems';
import { datasetsOf, recipesNaming, recipeText } from '../recipe/recipeDatasets';
import type { Jobs } from '../jobs/jobs';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';
import { diagnosticAt, DIAGNOSTIC_SOURCE } from '../ui/diagnostic';
import { StatusItem } from '../ui/statusItem';
import { dataSummary, rowMarksOf, dataStatus } from './dataTexts';

/** How long after an edit the dataset is checked. */
const DELAY_MS = 700;
/** Hundreds of thousands of rows take a while. */
const TIMEOUT_MS = 300_000;

/** What was found in the datasets of a recipe. */
export interface RecipeFindings {
  readonly recipe: string;
  readonly checked: CheckedRecipe;
}

/**
 * Marks problems in datasets while they are edited, and summarizes the data in the status bar. The
 * rows are read by a separate process so that typing is never delayed.
 */
export class DataChecks implements vscode.Disposable {
  private readonly diagnostics = vscode.languages.createDiagnosticCollection('lora-data');
  private readonly status = new StatusItem('lora.data', t('LoRA: Data'), {
    alignment: vscode.StatusBarAlignment.Right,
    priority: 90,
  });
  private readonly found = new Map<string, RecipeFindings>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly running = new Map<string, AbortController>();
  /** Has the lengths of the rows of each recipe, for the next check. */
  private caches: Promise<string> | undefined;
  private readonly disposables: readonly { dispose(): unknown }[];

  /** `ofRuns`: marks what runs have found, which newer findings here replace. */
  constructor(
    private readonly jobs: Pick<Jobs, 'ask'>,
    private readonly ofRuns: Pick<RecipeDiagnostics, 'replace'>,
    private readonly log: (message: string) => void,
  ) {
    this.disposables = [
      this.diagnostics,
      this.status,
      vscode.window.onDidChangeActiveTextEditor((editor) => {
        if (editor) this.checkSoon(editor.document);
        this.showStatus();
      }),
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        // its problems are of the text on disk, and shown again when it is saved or undone
        if (document.isDirty && this.found.has(document.fileName))
          this.diagnostics.delete(document.uri);
        this.checkSoon(document);
      }),
      vscode.workspace.onDidSaveTextDocument((document) => this.checkSoon(document)),
      vscode.workspace.onDidCloseTextDocument(() =>
        this.forgetWhere((files) => !files.some(isOpen)),
      ),
      onFilesDeleted((isDeleted) => this.forgetWhere((files) => files.some(isDeleted))),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.checkActive()),
    ];
    this.checkActive();
  }

  /** The newest findings for a recipe, or for the recipe that names this dataset. */
  findingsFor(file: string): RecipeFindings | undefined {
    return [...this.found.values()].find(
      ({ recipe, checked }) =>
        isSamePath(recipe, file) ||
        checked.datasets.some((dataset) => isSamePath(dataset.path, file)),
    );
  }

  dispose(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    for (const controller of this.running.values()) controller.abort();
    for (const disposable of this.disposables) disposable.dispose();
    void this.caches?.then((folder) => rm(folder, { recursive: true, force: true }));
  }

  private async rowCacheOf(recipe: string): Promise<string> {
    this.caches ??= mkdtemp(path.join(tmpdir(), 'lora-rows-'));
    const name = createHash('sha256').update(recipe).digest('hex');
    return path.join(await this.caches, name);
  }

  private checkActive(): void {
    const { activeTextEditor } = vscode.window;
    if (activeTextEditor) this.checkSoon(activeTextEditor.document);
  }

  private checkSoon(document: vscode.TextDocument): void {
    const { uri, fileName } = document;
    if (
      !vscode.workspace.isTrusted ||
      uri.scheme !== 'file' ||
      !(isRecipe(document) || fileName.endsWith('.jsonl'))
    )
      return;
    clearTimeout(this.timers.get(fileName));
    this.timers.set(
      fileName,
      setTimeout(() => {
        this.check(fileName).catch((error: unknown) =>
          this.log(`Data of ${fileName}: ${LoraError.from(error, 'dataset').describe()}`),
        );
      }, DELAY_MS),
    );
  }

  private async check(file: string): Promise<void> {
    this.timers.delete(file);
    const recipes = file.endsWith('.jsonl') ? await recipesNaming(file) : [file];
    const [recipe] = recipes;
    if (
      recipe === undefined ||
      vscode.workspace.textDocuments.some(
        (document) => document.fileName === recipe && document.isDirty,
      ) ||
      (await isOnServer(recipe))
    )
      return;
    this.running.get(recipe)?.abort();
    const controller = new AbortController();
    this.running.set(recipe, controller);
    try {
      const checked = await this.checkRecipe(recipe, controller.signal);
      const problems = await placedProblems(recipe, checked.problems);
      if (filesOf(recipe, checked).some(isOpen)) this.setFindings(recipe, checked, problems);
    } catch (error) {
      if (controller.signal.aborted) return;
      this.forget(recipe);
      throw error;
    } finally {
      if (this.running.get(recipe) === controller) this.running.delete(recipe);
    }
  }

  /** Checks a recipe. Datasets with unsaved changes are read from a copy. */
  private async checkRecipe(recipe: string, signal: AbortSignal): Promise<CheckedRecipe> {
    const named = await datasetsOf(recipe);
    const dirty = vscode.workspace.textDocuments.filter(
      (document) => document.isDirty && named.includes(document.fileName),
    );
    const folder = dirty.length > 0 ? await mkdtemp(path.join(tmpdir(), 'lora-data-')) : null;
    try {
      const replacements: string[] = [];
      for (const [i, document] of dirty.entries()) {
        const copy = path.join(folder!, `${i}.jsonl`);
        await copyText(document, copy, signal);
        await copyList(document.fileName, copy);
        replacements.push('--instead', `${document.fileName}=${copy}`);
      }
      return await this.jobs.ask<CheckedRecipe>(
        ['check', recipe, '--row-cache', await this.rowCacheOf(recipe), ...replacements],
        AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      );
    } finally {
      if (folder !== null) await rm(folder, { recursive: true, force: true });
    }
  }

  private setFindings(recipe: string, checked: CheckedRecipe, problems: readonly Problem[]): void {
    this.deleteDiagnostics(recipe);
    this.found.set(recipe, { recipe, checked });
    for (const file of filesOf(recipe, checked)) this.ofRuns.replace(file);
    this.diagnostics.set(vscode.Uri.file(recipe), problems.map(problemDiagnostic));
    for (const dataset of checked.datasets)
      this.diagnostics.set(
        vscode.Uri.file(dataset.path),
        rowMarksOf(dataset, checked).map(toDiagnostic(dataset.path)),
      );
    this.showStatus();
  }

  /** `applies`: whether to forget what was found in a recipe and its datasets. */
  private forgetWhere(applies: (files: readonly string[]) => boolean): void {
    for (const { recipe, checked } of [...this.found.values()])
      if (applies(filesOf(recipe, checked))) this.forget(recipe);
  }

  private forget(recipe: string): void {
    this.deleteDiagnostics(recipe);
    this.found.delete(recipe);
    this.showStatus();
  }

  private deleteDiagnostics(recipe: string): void {
    this.diagnostics.delete(vscode.Uri.file(recipe));
    for (const { path: file } of this.found.get(recipe)?.checked.datasets ?? [])
      this.diagnostics.delete(vscode.Uri.file(file));
  }

  private showStatus(): void {
    const file = vscode.window.activeTextEditor?.document.fileName;
    const found = file === undefined ? undefined : this.findingsFor(file);
    const text = found ? dataStatus(found.checked.datasets, found.checked.task) : '';
    if (!found || text === '') {
      this.status.hide();
      return;
    }
    this.status.onClick({
      command: COMMANDS.openDataset.id,
      title: t('Open Dataset'),
      arguments: [file === found.recipe ? found.checked.datasets[0]?.path : file],
    });
    this.status.show({ icon: 'database', text, tooltip: dataSummary(found.checked) });
  }
}

const filesOf = (recipe: string, { datasets }: CheckedRecipe): readonly string[] => [
  recipe,
  ...datasets.map((dataset) => dataset.path),
];

/** A copy of a dataset has the same excluded rows. */
async function copyList(dataset: string, copy: string): Promise<void> {
  const list = excludedFileOf(dataset);
  if (await pathExists(list)) await copyFile(list, excludedFileOf(copy));
}

const isOpen = (file: string): boolean =>
  vscode.workspace.textDocuments.some(({ fileName }) => isSamePath(fileName, file));

/** The problems of a recipe at its lines, without those of files that are not there. */
async function placedProblems(recipe: string, found: readonly Problem[]): Promise<Problem[]> {
  const text = await recipeText(recipe);
  const missing = await missingFiles(text, recipe);
  return recipeProblems(found, text, recipe, new Set(missing.map(({ place }) => place!.key!)));
}

/** A recipe that is merely open must not make anything connect to a server. */
const isOnServer = async (recipe: string): Promise<boolean> =>
  namesRemoteFiles(await recipeText(recipe));

/** Lines that are copied at once, so that the extension host is never busy for long. */
const LINES_AT_ONCE = 2_000;

/** Writes the text of a document into a file. @throws when `signal` is aborted */
async function copyText(
  document: vscode.TextDocument,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const { version, lineCount } = document;
    const handle = await open(file, 'w');
    try {
      for (let line = 0; line < lineCount && document.version === version; line += LINES_AT_ONCE) {
        signal.throwIfAborted();
        await handle.writeFile(
          document.getText(new vscode.Range(line, 0, line + LINES_AT_ONCE, 0)),
        );
      }
    } finally {
      await handle.close();
    }
    if (document.version === version) return;
  }
}

const toDiagnostic =
  (file: string) =>
  ({ line, severity, code, message }: ReturnType<typeof rowMarksOf>[number]): vscode.Diagnostic => {
    const document = vscode.workspace.textDocuments.find((other) =>
      isSamePath(other.fileName, file),
    );
    const length =
      document && line <= document.lineCount ? document.lineAt(line - 1).text.length : 1;
    const range = new vscode.Range(line - 1, 0, line - 1, length);
    const diagnostic = diagnosticAt(range, message, severity);
    diagnostic.code = code;
    return diagnostic;
  };

/** Whether a diagnostic is one of a row, which quick fixes apply to. */
export const isRowDiagnostic = ({ source, code }: vscode.Diagnostic): boolean =>
  source === DIAGNOSTIC_SOURCE && (code === 'row' || code === 'cut' || code === 'duplicate');
