// `tunnel schema`: the JSON Schema of the config, generated from the definition that reads it.
import { configSchema } from '../../config/schema.ts';
import { noWords, type CommandSpec, type Run } from '../command.ts';

export const spec: CommandSpec = {
  name: 'schema',
  words: '',
  takes: noWords,
  about: 'print the JSON Schema of the config',
  options: [],
  examples: [['tunnel schema > tunnels.schema.json', 'for editors']],
};

export const run: Run = (context) => {
  context.json(configSchema());
  return Promise.resolve(0);
};
