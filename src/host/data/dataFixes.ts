import { applyEdits, modify } from 'jsonc-parser';
import * as vscode from 'vscode';
import type { CheckedDataset } from '../../shared/checkedRecipe';
import { difference } from '../configure/recipeEdits';
import { t } from '../text/l10n';
import { isRowDiagnostic, type DataChecks } from './dataChecks';
import { withoutTrailingCommas } from './rowRepairs';

/**
 * Quick fixes for marked rows: remove trailing commas, the row, all rows with errors or all
 * duplicates, or raise max_length.
 */
export function registerDataFixes(checks: DataChecks): vscode.Disposable {
  const provider: vscode.CodeActionProvider = {
    provideCodeActions: (document, _, { diagnostics }) =>
      actionsFor(document, diagnostics.filter(isRowDiagnostic), checks),
  };
  return vscode.languages.registerCodeActionsProvider(
    { scheme: 'file', pattern: '**/*.jsonl' },
    provider,
    { providedCodeActionKinds: [vscode.CodeActionKind.QuickFix] },
  );
}

async function actionsFor(
  document: vscode.TextDocument,
  marks: readonly vscode.Diagnostic[],
  checks: DataChecks,
): Promise<vscode.CodeAction[]> {
  const found = checks.findingsFor(document.fileName);
  const dataset = found?.checked.datasets.find(({ path }) => path === document.fileName);
  if (!found || !dataset) return [];
  const actions = marks.flatMap((mark) => actionsForRow(document, mark));
  const faulty = marks.find(isError);
  const lines = linesWithErrors(dataset);
  if (faulty && lines.length > 1)
    actions.push(
      action(
        t('Remove all {0} rows with errors', lines.length),
        faulty,
        withoutLines(document, lines),
      ),
    );
  const duplicate = marks.find(({ code }) => code === 'duplicate');
  if (duplicate && dataset.duplicates.length > 1)
    actions.push(
      action(
        dataset.duplicates.length === dataset.duplicate_rows
          ? t('Remove all {0} duplicate rows', dataset.duplicate_rows)
          : t('Remove the first {0} duplicate rows', dataset.duplicates.length),
        duplicate,
        withoutLines(
          document,
          dataset.duplicates.map(({ line }) => line - 1),
        ),
      ),
    );
  const cut = marks.find(({ code }) => code === 'cut');
  if (cut && dataset.statistics)
    actions.push(
      action(
        t('Raise max_length to {0} in the recipe', dataset.statistics.longest),
        cut,
        await withMaxLength(found.recipe, dataset.statistics.longest),
      ),
    );
  return actions;
}

function actionsForRow(
  document: vscode.TextDocument,
  mark: vscode.Diagnostic,
): vscode.CodeAction[] {
  if (mark.code === 'cut') return [];
  const { line } = mark.range.start;
  const removal = action(t('Remove this row'), mark, withoutLines(document, [line]));
  const { text, range } = document.lineAt(line);
  const repaired = isError(mark) ? withoutTrailingCommas(text) : null;
  if (repaired === null) return [removal];
  const edit = new vscode.WorkspaceEdit();
  edit.replace(document.uri, range, repaired);
  return [action(t('Remove trailing commas'), mark, edit), removal];
}

const isError = ({ severity }: vscode.Diagnostic): boolean =>
  severity === vscode.DiagnosticSeverity.Error;

/** Lines, from 0, of rows that have errors; errors that stand for several rows name the first. */
const linesWithErrors = ({ problems }: CheckedDataset): number[] => [
  ...new Set(
    problems.flatMap(({ severity, place }) =>
      severity === 'error' && place?.line !== undefined ? [place.line - 1] : [],
    ),
  ),
];

function action(
  title: string,
  mark: vscode.Diagnostic,
  edit: vscode.WorkspaceEdit,
): vscode.CodeAction {
  const codeAction = new vscode.CodeAction(title, vscode.CodeActionKind.QuickFix);
  codeAction.diagnostics = [mark];
  codeAction.edit = edit;
  return codeAction;
}

function withoutLines(
  document: vscode.TextDocument,
  lines: readonly number[],
): vscode.WorkspaceEdit {
  const edit = new vscode.WorkspaceEdit();
  for (const line of lines)
    if (line < document.lineCount)
      edit.delete(document.uri, document.lineAt(line).rangeIncludingLineBreak);
  return edit;
}

async function withMaxLength(recipe: string, max_length: number): Promise<vscode.WorkspaceEdit> {
  const document = await vscode.workspace.openTextDocument(vscode.Uri.file(recipe));
  const text = document.getText();
  const change = difference(
    text,
    applyEdits(
      text,
      modify(text, ['training', 'max_length'], max_length, {
        formattingOptions: { insertSpaces: true, tabSize: 2 },
      }),
    ),
  );
  const edit = new vscode.WorkspaceEdit();
  if (change)
    edit.replace(
      document.uri,
      new vscode.Range(document.positionAt(change.start), document.positionAt(change.end)),
      change.text,
    );
  return edit;
}
