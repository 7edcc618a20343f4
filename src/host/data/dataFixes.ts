import { applyEdits, modify, type JSONPath } from 'jsonc-parser';
import * as vscode from 'vscode';
import type { CheckedDataset } from '../../shared/checkedRecipe';
import { misspellingIn, type Misspelling } from '../../shared/misspelling';
import { difference } from '../configure/recipeEdits';
import { t } from '../text/l10n';
import { isRowDiagnostic, type DataChecks } from './dataChecks';
import { withKeyRenamed, withoutTrailingCommas } from './rowRepairs';

/**
 * Quick fixes for marked rows: correct a misspelled key, remove trailing commas, the row, all rows
 * with errors or all duplicates, leave out rows without a label, or raise max_length.
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
  const misspelled = marks.find((mark) => misspellingIn(mark.message));
  if (misspelled) actions.push(...renameEverywhere(document, misspelled));
  const unlabelled = marks.find(isUnlabelled);
  if (unlabelled)
    actions.push(
      action(
        t('Leave out rows without a label (unlabelled_rows in the recipe)'),
        unlabelled,
        await withRecipeValue(found.recipe, ['unlabelled_rows'], 'skip'),
      ),
    );
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
        await withRecipeValue(found.recipe, ['training', 'max_length'], dataset.statistics.longest),
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
  if (!isError(mark)) return [removal];
  const { text } = document.lineAt(line);
  const withoutCommas = withoutTrailingCommas(text);
  const misspelling = misspellingIn(mark.message);
  const renamed = misspelling && withKeyRenamed(text, misspelling);
  const repair = (title: string, repaired: string) =>
    action(title, mark, withLines(document, new Map([[line, repaired]])));
  return [
    ...(withoutCommas === null ? [] : [repair(t('Remove trailing commas'), withoutCommas)]),
    ...(misspelling && renamed !== null ? [repair(renameTitle(misspelling), renamed)] : []),
    removal,
  ];
}

const renameTitle = ({ key, meant }: Misspelling): string => t('Rename “{0}” to “{1}”', key, meant);

/** The same misspelling is often in all rows. */
function renameEverywhere(
  document: vscode.TextDocument,
  mark: vscode.Diagnostic,
): vscode.CodeAction[] {
  const misspelling = misspellingIn(mark.message);
  if (!misspelling) return [];
  const renamed = new Map<number, string>();
  for (let line = 0; line < document.lineCount; line++) {
    const { text } = document.lineAt(line);
    const repaired = text.includes(misspelling.key) ? withKeyRenamed(text, misspelling) : null;
    if (repaired !== null) renamed.set(line, repaired);
  }
  if (renamed.size < 2) return [];
  const { key, meant } = misspelling;
  const title = t('Rename “{0}” to “{1}” in all {2} rows', key, meant, renamed.size);
  return [action(title, mark, withLines(document, renamed))];
}

/** Replaces lines, by their numbers from 0. */
function withLines(
  document: vscode.TextDocument,
  lines: ReadonlyMap<number, string>,
): vscode.WorkspaceEdit {
  const edit = new vscode.WorkspaceEdit();
  for (const [line, text] of lines) edit.replace(document.uri, document.lineAt(line).range, text);
  return edit;
}

/** The message says that the recipe can leave such rows out. */
const isUnlabelled = (mark: vscode.Diagnostic): boolean =>
  isError(mark) && mark.message.includes('unlabelled_rows');

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

/** Sets a value of a recipe. */
async function withRecipeValue(
  recipe: string,
  key: JSONPath,
  value: number | string,
): Promise<vscode.WorkspaceEdit> {
  const document = await vscode.workspace.openTextDocument(vscode.Uri.file(recipe));
  const text = document.getText();
  const change = difference(
    text,
    applyEdits(
      text,
      modify(text, key, value, {
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
