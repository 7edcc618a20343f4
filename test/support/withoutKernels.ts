/**
 * Whether the tests run as on a GPU, where TensorFlow's operations compute everything: on one, and
 * on a processor with `npm run test:gpu -- --imitate`.
 */
export const WITHOUT_KERNELS = process.env['LORA_TEST_WITHOUT_KERNELS'] === '1';
