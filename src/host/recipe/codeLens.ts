import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';
import { isRecipe } from './isRecipe';

const RECIPES: vscode.DocumentSelector = [{ scheme: 'file', pattern: '**/*.json' }];

/** Run Recipe and Configure Rank and Targets above the first line of a recipe. */
export function registerRecipeLens(): vscode.Disposable {
  return vscode.languages.registerCodeLensProvider(RECIPES, {
    provideCodeLenses: (document) =>
      vscode.workspace.isTrusted && isRecipe(document)
        ? [
            lens(`$(play) ${t('Run Recipe')}`, COMMANDS.runRecipe.id, document),
            lens(
              `$(settings) ${t('Configure Rank and Targets')}`,
              COMMANDS.configureRank.id,
              document,
            ),
          ]
        : [],
  });
}

const lens = (title: string, command: string, { uri }: vscode.TextDocument) =>
  new vscode.CodeLens(new vscode.Range(0, 0, 0, 0), { title, command, arguments: [uri] });
