import * as v from 'valibot';
import { isLayersModelPath } from '../../formats/layersModel/file';
import { withModel } from '../model/openModel';
import { defineCommand, form } from './command';
import {
  adaptersOption,
  baseOption,
  partialOption,
  quantizeOption,
  quantizeOptions,
  refuseQuantizedLayers,
  templateVariablesOption,
  toolsOption,
} from './commonOptions';
import { readTools } from './conversation';
import { evaluatedSources } from './evaluatedSources';
import { comparedBy, evaluatePreferences } from './evaluatePreferences';
import { evaluateTask } from './evaluateTask';
import { evaluateSuitesForm, evaluationResultsForm } from './evaluateSuites';
import { evaluateText, type EvaluateSettings } from './evaluateText';
import { evaluateLayers } from './layersModel';
import { flag, requiredList, withDefault } from './options';
import { anyText, wholeNumber } from './optionValues';

const objectiveMethod = v.picklist(['dpo', 'orpo', 'cpo', 'simpo']);

/** lora evaluate. */
export const evaluateCommand = defineCommand({
  name: 'evaluate',
  summary: "Computes a model's loss and scores on a dataset, or answers the questions of suites.",
  endedBySignals: true,
  forms: [
    form({
      options: {
        base: baseOption,
        adapter: adaptersOption,
        partial: partialOption,
        quantize: quantizeOption,
        dataset: requiredList(
          anyText,
          'FILE',
          'dataset to evaluate on, or JSON as the "dataset" of a recipe; repeat it for several',
        ),
        'chat-template-kwargs': templateVariablesOption,
        exact: flag('language models: also count the answers that match exactly'),
        calls: flag('language models: also count the answers whose tool calls are right'),
        tools: toolsOption,
        'max-length': withDefault('2048', wholeNumber, 'N', 'longest row, in tokens'),
        objective: withDefault(
          'dpo',
          objectiveMethod,
          'METHOD',
          'rows of preferences: dpo, orpo, cpo or simpo; rows with a label are compared by kto',
        ),
        'max-new-tokens': withDefault('64', wholeNumber, 'N', '--exact: longest answer, in tokens'),
      },
      run: async ({ options }, context) => {
        const settings: EvaluateSettings = {
          sources: evaluatedSources(options.dataset),
          exact: options.exact,
          objective: options.objective,
          calls: options.calls,
          tools: options.tools === null ? null : await readTools(options.tools),
          max_length: options['max-length'],
          max_new_tokens: options['max-new-tokens'],
          chat_template_kwargs: options['chat-template-kwargs'],
        };
        const paths = { base: options.base, adapters: options.adapter };
        if (isLayersModelPath(paths.base)) {
          refuseQuantizedLayers(options.quantize);
          await evaluateLayers(paths, settings.sources, context);
          return 0;
        }
        const quantize = quantizeOptions(options.quantize);
        const opening = { partial: options.partial, quantize };
        const [first] = settings.sources;
        const compared = await comparedBy(first!, options.adapter, settings.objective);
        if (compared) {
          await evaluatePreferences({ paths, opening, compared }, settings, context);
          return 0;
        }
        await withModel(paths, context, opening, (loaded) =>
          loaded.base.spec.head.kind === 'lm'
            ? evaluateText(loaded, settings, context)
            : evaluateTask(loaded, settings, context),
        );
        return 0;
      },
    }),
    evaluateSuitesForm,
    evaluationResultsForm,
  ],
});
