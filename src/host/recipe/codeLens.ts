import * as vscode from 'vscode';
import { COMMANDS } from '../ids';
import { t } from '../l10n';

const RECIPES: vscode.DocumentSelector = [{ scheme: 'file', pattern: '**/lora.json' }, { scheme: 'file', pattern: '**/*.lora.json' }];

/** Run Recipe above the first line of a recipe. */
export function registerRecipeLens(): vscode.Disposable {
  return vscode.languages.registerCodeLensProvider(RECIPES, {
    provideCodeLenses: (document) => (vscode.workspace.isTrusted ? [new vscode.CodeLens(new vscode.Range(0, 0, 0, 0), {
      title: `$(play) ${t('Run Recipe')}`, command: COMMANDS.runRecipe, arguments: [document.uri],
    })] : []),
  });
}
