// Generates media/lora.schema.json, media/targets.schema.json, docs/recipe.md and docs/models.md
// from the code.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';

const root = path.resolve(import.meta.dirname, '..');

/** A module of src. */
const load = (file) => tsImport(`../${file}`, import.meta.url);

/** Writes media/lora.schema.json and media/targets.schema.json. */
export async function writeSchema() {
  const { recipeJsonSchema } = await load('src/host/recipe/jsonSchema.ts');
  const { targetsJsonSchema } = await load('src/host/targets/jsonSchema.ts');
  for (const [name, schema] of [
    ['lora', recipeJsonSchema()],
    ['targets', targetsJsonSchema()],
  ])
    writeGenerated(
      path.join(root, 'media', `${name}.schema.json`),
      `${JSON.stringify(schema, null, 2)}\n`,
    );
}

/** Writes a file unless it has this text: its time tells others whether it has changed. */
export function writeGenerated(file, text) {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  writeFileSync(file, text);
}

const TASKS = {
  causal_lm: 'language model',
  seq2seq_lm: 'encoder-decoder',
  seq_cls: 'sequence classification',
  token_cls: 'token classification',
  image_cls: 'image classification',
  embedding: 'sentence embedding',
  contrastive: 'images with texts',
};

/** Families of which a model with its real weights is compared with transformers and PEFT. */
const REAL = {
  llama: 'SmolLM2-135M-Instruct',
  bert: 'all-MiniLM-L6-v2',
  mpnet: 'all-mpnet-base-v2, by hand',
};

const MLX = { true: 'yes', false: '–', within: 'of vision-language models' };

/** Writes docs/models.md: the model families, and the fixtures that compare each with PEFT. */
export async function writeModelDocs() {
  const { FAMILIES, VISION_MODELS } = await load('src/formats/architecture/families/index.ts');
  const fixtures = path.join(root, 'test', 'fixtures');
  const checked = new Map();
  for (const name of readdirSync(fixtures).sort()) {
    const config = path.join(fixtures, name, 'base', 'config.json');
    if (!existsSync(config)) continue;
    const { model_type: outer, text_config } = JSON.parse(readFileSync(config, 'utf8'));
    const inner = text_config?.model_type;
    const model_type = Object.hasOwn(FAMILIES, inner ?? outer) ? (inner ?? outer) : outer;
    checked.set(model_type, [...(checked.get(model_type) ?? []), name]);
  }
  const rows = Object.entries(FAMILIES).map(
    ([name, { tasks, gguf, mlx }]) =>
      `| \`${name}\` | ${tasks.map((task) => TASKS[task]).join(', ')} | ${gguf ? `\`${gguf.arch}\`` : '–'} | ${MLX[mlx]} | ${REAL[name] ?? '–'} | ${(checked.get(name) ?? []).join(', ')} |`,
  );
  const visionModels = VISION_MODELS.map((name) => `\`${name}\``).join(', ');
  writeGenerated(
    path.join(root, 'docs', 'models.md'),
    `# Models

The supported models, by the \`model_type\` of config.json; of a vision-language model, by that of its \`text_config\` (\`gemma3_text\` of \`gemma3\`). A model can be trained for any task listed for its family; \`task\` in the recipe selects it.
\`npm run build\` generates this page from \`src/formats/architecture/families\`.

| model_type | tasks | GGUF | mlx-lm | real weights | fixtures |
|---|---|---|---|---|---|
${rows.join('\n')}

- **tasks**: \`causal_lm\` (language model), \`seq2seq_lm\` (encoder-decoder that writes text), \`seq_cls\` (sequence classification), \`token_cls\` (token classification), \`image_cls\` (image classification), \`embedding\` (sentence embedding) and \`contrastive\` (images with texts). Rerankers (\`reranker\`) and reward models (\`reward\`) need a family with sequence classification.
- **GGUF**: the \`general.architecture\` of .gguf files that are read as this family. Tensors may be F32, F16, BF16, Q2_K to Q8_0, IQ4_NL, IQ4_XS or MXFP4. \`node test/scripts/check_gguf.mjs\` loads bases, merged models and adapters in llama.cpp and compares their logits with those of transformers and PEFT (2026-12-01, libllama 0.5.0). They differ by at most 0.01 with logits of up to 20 (0.003 with logits of up to 4, as those of Qwen 3) for the fixtures of \`hunyuan-dense\` (without biases), \`olmo2\` with windows (OLMo 3), \`exaone4\`, \`mistral3\` and \`lfm2\`, and for small models that are made with the package gguf by the converter's rules: \`qwen3moe\`, \`gpt-oss\` (also with YaRN), \`qwen35\`, \`gemma4\` and its mixture. Of \`t5\` it is 0.04 with logits of up to 40, of \`exaone4\` with 64 layers 0.03. Adapters on experts are among them. What llama.cpp does otherwise:
  - \`hunyuan-dense\`: it does not load models with a bias after attention (attn_output.bias).
  - \`olmo2\`, and YaRN in general: it ignores \`rope.scaling.yarn_attn_factor\` (logits differ by 0.5 from those of transformers, which this program has); it multiplies YaRN's own factor by \`rope.scaling.attn_factor\`, with which a factor of the config is stored right, and which is read so.
  - \`exaone4\`: it has windows in models of 64 layers only.
  - \`gpt-oss\`: it always rounds the limits of YaRN's ramp; files are read without rounding, as all published models want it.
  - \`gemma4\`: it does not apply adapters of per_layer_model_projection and embed_tokens_per_layer, nor those of experts' down_proj as PEFT does. They are refused for it; merge them instead.
  - \`qwen35\`: key and value heads must have one size. The columns of linear attention's last layer are moved in the file: it stays in its blocks where a value head is whole blocks, else it is dequantized.
  - \`t5\`: it loads no decoder with more layers than its encoder, has 128 as the largest distance, and does not scale the output of the first T5 (without gates, with one table), whose logits are larger there by √d_model. mT5 is the same architecture. The sentinels (\`<extra_id_0>\`) have no texts in its files.
  - \`bert\` and \`modern-bert\`: files without a classifier are read for sentence embeddings. RoBERTa, XLM-RoBERTa and DistilBERT have the architecture \`bert\`, too; their vocabularies tell them apart (an adapter's file is read with its base). Files of RoBERTa, XLM-RoBERTa and ModernBERT with \`cls\` tensors are rerankers and classifiers (\`seq_cls\`), those of BERT if they have the pooler (\`cls.weight\`), which the converter leaves out. Refused by name: other poolings than the mean of all tokens, DistilBERT's classifier (llama.cpp has tanh in place of ReLU), and adapters with trained classifiers or with factors of the tables of positions and token types, the pooler or the classifier; merge them instead. llama.cpp computes GELU by its approximation with tanh, in float16: vectors of all-MiniLM-L6-v2 (\`test/scripts/check_gguf_embeddings.py\`) for base, merged model and adapter differ by at most 0.0003 from those of transformers and PEFT (cosine at least 0.999999). Of small random models with tokenizers (\`test/scripts/check_gguf_encoders.mjs\`), vectors of length 1 of RoBERTa, XLM-RoBERTa, DistilBERT and ModernBERT differ by at most 0.0014, and scores up to 2.4 of rerankers of RoBERTa, XLM-RoBERTa and ModernBERT by at most 0.0019, with the same ids (2026-12-01, libllama 0.5.0). It always adds the first token type. Files of before 2026 do not say whether BERT's texts become lowercase: they do where the vocabulary has no capital letter. Of ELECTRA, ALBERT, MPNet and DeBERTa llama.cpp has no architecture; for labels of tokens it has no layers.
- **sentence embeddings**: the mean of all tokens. A folder whose \`1_Pooling/config.json\` names another pooling, such as that of bge, is refused for this task.
- **mlx-lm**: adapters of these families can be converted to mlx-lm's format.
- **images in chats**: of the vision-language models, ${visionModels} can be trained on images (see [datasets](datasets.md#images-in-chats)); of the others, only the language model is trained, on text.
- **fixtures**: small models under \`test/fixtures\` whose logits, losses and gradients \`test/parity/cases.test.ts\` compares with transformers and PEFT. For each, merged files, conversions and a resumed run are tested, too ([what covers every family](testing.md#what-covers-every-family)).
- **real weights**: a published model that is compared with transformers and PEFT with its own weights. Where there is none (–), only small models with random weights were compared: they have all layers of the family, but not the numbers of a trained model. By hand, \`python test/scripts/train_mpnet.py\` trains the real all-mpnet-base-v2 on examples/hard-negatives: nDCG@10 on the held-out rows rises from 0.528 to 0.660 in 20 steps, and the cosines of the untrained model are those of transformers (0.252378, 2026-12-01).

Tokenizers are read from tokenizer.json, or, in a folder without one, from a SentencePiece unigram or BPE model (tokenizer.model, spiece.model, sentencepiece.bpe.model or spm.model), with the special tokens of tokenizer_config.json, special_tokens_map.json and added_tokens.json. The tokenizer classes of T5, mT5, XLM-RoBERTa, ALBERT, DeBERTa, Llama, ERNIE 4.5 and Gemma are supported; others are refused by name.

Supported adapter features: LoRA, rsLoRA, DoRA, \`rank_pattern\`, \`alpha_pattern\`, \`layers_to_transform\`, \`exclude_modules\`, \`modules_to_save\`, \`trainable_token_indices\`, biases, embeddings and output layers, Conv1D, patch convolutions, fused projections, and experts and routers (target_parameters). They can be initialized with PEFT's default, \`gaussian\`, \`orthogonal\`, OLoRA or PiSSA.

Not supported, with an error that says so: other PEFT methods (IA3, prompt tuning …; LoHa and LoKr are read for image models only), other mixtures of experts, other encoder-decoders, models without attention (Mamba, RWKV), and quantized safetensors weights other than those of bitsandbytes, torchao, GPTQ, AWQ (4 bits) and gpt-oss (MXFP4).
`,
  );
}

/** Writes docs/recipe.md: every key with its default and description. */
export function writeRecipeDocs() {
  const schema = JSON.parse(readFileSync(path.join(root, 'media', 'lora.schema.json'), 'utf8'));
  const rows = (properties, prefix = '') =>
    Object.entries(properties)
      .filter(([key]) => !key.startsWith('$'))
      .flatMap(([key, value]) =>
        value.properties && key !== 'columns'
          ? [
              `| **\`${prefix}${key}\`** | | ${value.description} |`,
              ...rows(value.properties, `${prefix}${key}.`),
            ]
          : [
              `| \`${prefix}${key}\` | ${schema.required.includes(prefix + key) ? 'required' : `\`${JSON.stringify(value.default === undefined ? {} : value.default)}\``} | ${value.description} |`,
            ],
      );
  writeGenerated(
    path.join(root, 'docs', 'recipe.md'),
    `# The recipe

A run is described by a \`lora.json\` (or \`NAME.lora.json\`): JSON, with comments and trailing commas allowed. Relative paths start at its folder.
An unknown key is an error that names the nearest known one.

This table is generated from the schema that the editor uses.

| key | default | |
|---|---|---|
${rows(schema.properties).join('\n')}
`,
  );
}
