// All targets, one parser each, in the order of the table.
import { agentTarget } from './targets/agent.ts';
import { configTarget } from './targets/config.ts';
import { controlFrameTarget, controlRequestTarget, stateFileTarget } from './targets/control.ts';
import { ftpTarget } from './targets/ftp.ts';
import { certificateTarget, keyFileTarget, publicKeyTarget } from './targets/keys.ts';
import { knownHostsTarget } from './targets/known-hosts.ts';
import { connectTarget, httpProxyTarget, socksProxyTarget, socksTarget } from './targets/proxies.ts';
import { sshAnswerTarget, sshConfigTarget } from './targets/ssh-config.ts';
import { sshHelloTarget } from './targets/ssh-hello.ts';
import type { Target } from './target.ts';

export const targets: readonly Target[] = [
  configTarget,
  sshConfigTarget,
  sshAnswerTarget,
  knownHostsTarget,
  keyFileTarget,
  publicKeyTarget,
  certificateTarget,
  agentTarget,
  controlFrameTarget,
  controlRequestTarget,
  stateFileTarget,
  socksTarget,
  connectTarget,
  socksProxyTarget,
  httpProxyTarget,
  ftpTarget,
  sshHelloTarget,
];
