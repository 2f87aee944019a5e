// `tunnel show`: what each tunnel comes to, every hop after defaults and ssh_config; secrets as their source only.
import { matchSelectors } from '../../config/selectors.ts';
import { showDocument, showText } from '../../config/show.ts';
import { anyWords, selectorWords, type CommandSpec, type Run } from '../command.ts';
import { readyConfig } from '../../client/ready-config.ts';

export const spec: CommandSpec = {
  name: 'show',
  words: selectorWords,
  takes: anyWords,
  about: 'what each tunnel comes to, after defaults and ssh_config',
  options: [],
  examples: [['tunnel show db', 'hops, keys and files that will be used']],
};

export const run: Run = async (context, args) => {
  const { resolved } = await readyConfig(context);
  const { knownHosts: ownStore } = context.places;
  const names = matchSelectors(args.words, resolved.tunnels);
  if (context.options.json) {
    const agentSocket = context.facts.env['SSH_AUTH_SOCK'];
    const document = showDocument(resolved, names, { agentSocket, ownStore });
    context.json(document);
  } else context.out(showText(resolved, names, ownStore).trimEnd());
  for (const warning of resolved.warnings) context.talk(`warning: ${warning}`);
  return 0;
};
