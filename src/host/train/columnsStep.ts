import type { ColumnFacts } from '../../inspect/questions';
import type { ColumnNames } from '../../shared/datasetSources';
import { methodOfKeys, rowFormOf, type RowForm } from '../../shared/objective';
import type { Task } from '../../shared/task';
import type { AskInspections } from '../inspection/inspections';
import type { Outcome } from '../setup/steps';
import type { ChosenDataset, TrainState } from '../setup/trainState';
import { t } from '../text/l10n';
import { pick, type Picked } from '../ui/picker';
import { columnForms, fittingForms, isWritten, likelyLabel, type ColumnForm } from './columnForms';
import { ofDataset } from './ofDataset';

/** What the columns of a dataset are. */
export interface ColumnAnswer {
  readonly form: ColumnForm;
  readonly names: ColumnNames;
}

/** Asks what the columns of the dataset are, unless their names say it. */
export async function askColumns(
  state: TrainState,
  first: boolean,
  inspections: AskInspections,
): Promise<Outcome<TrainState>> {
  const dataset = state.dataset!;
  if (dataset.task === 'features') return askLabel(state, first, inspections);
  const facts = await unknownColumns(dataset, inspections);
  if (!facts) return { kind: 'skip' };
  const forms = fittingForms(state.base!.tasks, facts.columns.length);
  if (forms.length === 0) return { kind: 'skip' };
  const picked = await pickColumns(facts, forms, first);
  if (picked.kind !== 'picked') return picked;
  const { form, names } = picked.value;
  const keys = form.targets.map(({ target }) => target);
  const own = { ...dataset, task: form.task, keys };
  return { kind: 'next', state: { ...ofDataset(state, own), columns: names } };
}

/** The columns of a dataset whose names do not say what they are; null: they do. */
export async function unknownColumns(
  { path, hub, task, keys, images = false }: ChosenDataset,
  inspections: AskInspections,
): Promise<ColumnFacts | null> {
  if (images) return null;
  const facts = await inspections.ask('columns', { file: hub?.file ?? path });
  const isKnown = facts.forms.includes(formOf(task, keys));
  return isKnown || facts.columns.length === 0 ? null : facts;
}

/** Tensors have names of their own for features and labels. */
const TENSORS = /\.(?:safetensors|npz|npy)$/i;

/** Asks which column of a table of numbers is predicted from the others. */
async function askLabel(
  state: TrainState,
  first: boolean,
  inspections: AskInspections,
): Promise<Outcome<TrainState>> {
  const { path, hub } = state.dataset!;
  if (TENSORS.test(path)) return { kind: 'skip' };
  const { columns } = await inspections.ask('columns', { file: hub?.file ?? path });
  if (columns.length === 0 || columns.some(({ name }) => name === 'label')) return { kind: 'skip' };
  const likely = likelyLabel(columns);
  const picked = await pick<string>({
    title: t('Train Adapter: Columns'),
    first,
    placeholder: t('Which column is predicted from the others?'),
    isDefault: (name) => name === likely,
    fill: (show) =>
      show(
        columns.map(({ name, values }) => ({ label: name, detail: rowsText(values), value: name })),
      ),
  });
  if (picked.kind !== 'picked') return picked;
  return { kind: 'next', state: { ...state, columns: { label: picked.value } } };
}

const FORM_OF_METHOD = { sft: 'causal_lm', dpo: 'preference', kto: 'unpaired' } as const;

const formOf = (task: Task, keys: readonly string[]): RowForm =>
  task === 'causal_lm' ? FORM_OF_METHOD[methodOfKeys(keys)] : rowFormOf({ task });

/** Asks what rows are, then for each of the columns that this needs. */
export async function pickColumns(
  facts: ColumnFacts,
  forms: readonly ColumnForm[],
  first: boolean,
): Promise<Picked<ColumnAnswer>> {
  for (;;) {
    const form = await pickForm(facts, forms, first);
    if (form.kind !== 'picked') return form;
    if (facts.forms.includes(form.value.form))
      return { kind: 'picked', value: { form: form.value, names: {} } };
    const names = await pickNames(facts, form.value);
    if (names.kind === 'picked')
      return { kind: 'picked', value: { form: form.value, names: names.value } };
    if (names.kind === 'cancel') return names;
  }
}

const pickForm = (
  { columns }: ColumnFacts,
  forms: readonly ColumnForm[],
  first: boolean,
): Promise<Picked<ColumnForm>> =>
  pick<ColumnForm>({
    title: t('Train Adapter: Columns'),
    first,
    placeholder: t(
      'The column names are ambiguous: {0}. Select what the rows contain',
      columns.map(({ name }) => name).join(', '),
    ),
    isDefault: (form) => form === forms[0],
    fill: (show) => show(forms.map((form) => ({ label: form.label, value: form }))),
  });

/** A column for each question; the last of several columns needs none. */
async function pickNames(
  { columns }: ColumnFacts,
  { label, targets }: ColumnForm,
): Promise<Picked<ColumnNames>> {
  const chosen: string[] = [];
  while (chosen.length < targets.length) {
    const left = columns.filter(({ name }) => !chosen.includes(name));
    if (chosen.length > 0 && left.length === 1) {
      chosen.push(left[0]!.name);
      break;
    }
    const likely = left.find(isWritten);
    const picked = await pick<string>({
      title: `${t('Train Adapter: Columns')} · ${label}`,
      first: false,
      placeholder: targets[chosen.length]!.question,
      isDefault: (name) => name === likely?.name,
      fill: (show) =>
        show(
          left.map(({ name, values }) => ({ label: name, detail: rowsText(values), value: name })),
        ),
    });
    if (picked.kind === 'cancel' || (picked.kind === 'back' && chosen.length === 0)) return picked;
    if (picked.kind === 'back') chosen.pop();
    else chosen.push(picked.value);
  }
  const pairs = targets.map(({ target }, i) => [target, chosen[i]!] as const);
  return { kind: 'picked', value: Object.fromEntries(pairs) };
}

/** What a column holds in the first rows. */
const rowsText = (values: readonly string[]): string =>
  values.map((value, i) => `${i + 1}: ${value || '–'}`).join('   ');

/** The forms of texts that a language model learns beside others. */
export const languageForms = (): readonly ColumnForm[] =>
  columnForms().filter(({ form }) => form === 'causal_lm');
