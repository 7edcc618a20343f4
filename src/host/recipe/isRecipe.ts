import type * as vscode from 'vscode';
import { looksLikeRecipe } from '../../shared/recipeText';
import { isRecipeName } from '../manifest/ids';

/** Whether an open file is a recipe: by its name, or a JSON file by its content. */
export const isRecipe = (document: Pick<vscode.TextDocument, 'fileName' | 'getText'>): boolean =>
  isRecipeName(document.fileName) ||
  (document.fileName.endsWith('.json') && looksLikeRecipe(document.getText()));
