// `tunnel schema`: the JSON Schema of the config, generated from the definition that reads it; printed, or written beside the config.
import { editorSchemaOf, namesEditorSchema, writeEditorSchema } from '../../config/editor-schema.ts';
import { findConfig, shortPath } from '../../config/locate.ts';
import { configSchema, modeline } from '../../config/schema.ts';
import { readForeignTextNow } from '../../files/foreign-file.ts';
import { shellWord } from '../../model/shell-word.ts';
import type { Context } from '../../client/context.ts';
import { noWords, usage, type CommandSpec, type Run } from '../command.ts';

export const spec: CommandSpec = {
  name: 'schema',
  words: '',
  takes: noWords,
  about: 'print the JSON Schema of the config, draft-07',
  more: [
    'init, add and import write it beside a new config as tunnels.schema.json, and name it in the first line, which',
    'editors with yaml-language-server read (VS Code, Neovim, Helix, Emacs, Zed).',
  ],
  options: [{ name: 'write', about: 'write it beside the config in use, or renew it there' }],
  examples: [
    ['tunnel schema > tunnels.schema.json', 'for editors'],
    ['tunnel schema --write', 'after the program was updated, when tunnel check says so'],
  ],
};

export const run: Run = async (context, args) => {
  if (args.flag('write')) await write(context);
  else context.json(configSchema());
  return 0;
};

async function write(context: Context): Promise<void> {
  const { facts, places, options } = context;
  const { path } = findConfig(places, facts, options.config);
  const file = editorSchemaOf(path);
  const shown = shortPath(file, facts);
  const before = await writeEditorSchema(path);
  if (before === 'foreign')
    throw usage(
      `${shown} is not ours: nothing is written`,
      `mv ${shellWord(file)} ${shellWord(`${file}.old`)}`,
    );
  context.out(before === 'current' ? `${shown} is as it should be` : `wrote ${shown}`);
  if (!namesEditorSchema(readForeignTextNow(path)))
    context.talk(
      `write this line at the top of ${shortPath(path, facts)}, so that your editor finds it:\n${modeline}`,
    );
}
