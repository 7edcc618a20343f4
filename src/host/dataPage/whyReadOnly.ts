import * as vscode from 'vscode';
import type { DataFacts } from '../../inspect/dataset/questions';
import { t } from '../text/l10n';

/** Why the rows of a file cannot be edited; null: they can. */
export function whyReadOnly({ readOnly, format }: DataFacts): string | null {
  if (!vscode.workspace.isTrusted) return t('the workspace is not trusted.');
  if (readOnly === null) return null;
  return readOnly === 'packed'
    ? t('the file is compressed. Rows can be excluded and split into new files.')
    : t(
        'rows of {0} files cannot be edited. They can be excluded and split into new files.',
        format,
      );
}
