import * as vscode from 'vscode';
import type { Problem } from '../../shared/errors';
import { isRecipe } from './isRecipe';
import { onFilesDeleted } from '../files/deletions';
import { DIAGNOSTIC_SOURCE } from '../ui/diagnostic';
import { toDiagnostic } from './recipeDiagnostic';

/** How long after an edit the recipe is checked. */
const DELAY_MS = 300;

/** The diagnostics of recipes, and of files in which a run found problems. */
export class RecipeDiagnostics implements vscode.Disposable {
  private readonly collection = vscode.languages.createDiagnosticCollection('lora');
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private shown: readonly string[] = [];
  private readonly disposables: readonly { dispose(): unknown }[];

  constructor() {
    this.disposables = [
      this.collection,
      vscode.workspace.onDidOpenTextDocument((document) => this.checkSoon(document)),
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        if (document.isDirty) this.replace(document.fileName);
        this.checkSoon(document);
      }),
      vscode.workspace.onDidSaveTextDocument((document) => this.checkSoon(document)),
      vscode.workspace.onDidCloseTextDocument((document) => this.forget(document)),
      onFilesDeleted((isDeleted) => this.forgetDeleted(isDeleted)),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.checkAll()),
    ];
    this.checkAll();
  }

  /**
   * Replaces the problems of the last run, except for those that are marked already. Editing a file
   * removes its own.
   */
  show(problems: readonly Problem[]): void {
    this.clear();
    const placed = problems.filter(
      (problem) => problem.place?.line !== undefined && !this.isMarked(problem),
    );
    this.shown = placed.map((problem) => problem.place!.file);
    for (const { place } of placed) this.cancel(place!.file);
    this.collection.set(
      placed.map((problem) => [vscode.Uri.file(problem.place!.file), [toDiagnostic(problem)]]),
    );
  }

  /** Removes the problems of the last run. */
  clear(): void {
    for (const file of this.shown) this.collection.delete(vscode.Uri.file(file));
    this.shown = [];
  }

  /** Removes the problems of the last run in a file, which newer findings or edits replace. */
  replace(file: string): void {
    if (!this.shown.includes(file)) return;
    this.shown = this.shown.filter((other) => other !== file);
    this.collection.delete(vscode.Uri.file(file));
  }

  /** Whether the checks of datasets have marked an error in the same line. */
  private isMarked({ place, severity }: Problem): boolean {
    const uri = vscode.Uri.file(place!.file);
    const own = (this.collection.get(uri) ?? []).map(keyOf);
    return (
      severity === 'error' &&
      vscode.languages
        .getDiagnostics(uri)
        .some(
          (other) =>
            other.source === DIAGNOSTIC_SOURCE &&
            other.severity === vscode.DiagnosticSeverity.Error &&
            other.range.start.line === place!.line! - 1 &&
            !own.includes(keyOf(other)),
        )
    );
  }

  private forgetDeleted(isDeleted: (file: string) => boolean): void {
    const gone: vscode.Uri[] = [];
    this.collection.forEach((uri) => {
      if (isDeleted(uri.fsPath)) gone.push(uri);
    });
    for (const uri of gone) {
      this.cancel(uri.fsPath);
      this.collection.delete(uri);
    }
  }

  private checkAll(): void {
    for (const document of vscode.workspace.textDocuments) this.checkSoon(document);
  }

  private checkSoon(document: vscode.TextDocument): void {
    if (document.uri.scheme !== 'file' || !isRecipe(document)) return;
    this.cancel(document.fileName);
    this.timers.set(
      document.fileName,
      setTimeout(() => void this.check(document), DELAY_MS),
    );
  }

  private async check(document: vscode.TextDocument): Promise<void> {
    const { version } = document;
    const { checkForEditor } = await import('./checkForEditor');
    const problems = await checkForEditor(
      document.getText(),
      document.fileName,
      vscode.workspace.isTrusted,
    );
    if (!document.isClosed && document.version === version)
      this.collection.set(document.uri, problems.map(toDiagnostic));
  }

  private forget(document: vscode.TextDocument): void {
    this.cancel(document.fileName);
    if (isRecipe(document)) this.collection.delete(document.uri);
  }

  private cancel(file: string): void {
    clearTimeout(this.timers.get(file));
    this.timers.delete(file);
  }

  dispose(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    for (const disposable of this.disposables) disposable.dispose();
  }
}

const keyOf = ({ message, range }: vscode.Diagnostic): string => `${range.start.line} ${message}`;
