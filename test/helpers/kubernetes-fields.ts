// The fields that the Kubernetes API documents, of what our manifests are made of (taken from the types of its OpenAPI document).
// A field that is not here is a fault: the API server drops what it does not know, or refuses it.

/** Of a type: its fields as NAME:TYPE, with ! where the API wants one. [T] is a list, {T} a map of any names. */
const types: Readonly<Record<string, string>> = {
  ConfigMap:
    'apiVersion:string binaryData:{string} data:{string} immutable:boolean kind:string metadata:ObjectMeta',
  ObjectMeta:
    'annotations:{string} creationTimestamp:string deletionGracePeriodSeconds:number deletionTimestamp:string finalizers:[string] generateName:string generation:number labels:{string} name:string namespace:string resourceVersion:string selfLink:string uid:string',
  Deployment: 'apiVersion:string kind:string metadata:ObjectMeta spec!:DeploymentSpec',
  DeploymentSpec:
    'minReadySeconds:number paused:boolean progressDeadlineSeconds:number replicas:number revisionHistoryLimit:number selector!:LabelSelector strategy:DeploymentStrategy template!:PodTemplateSpec',
  DeploymentStrategy: 'rollingUpdate:RollingUpdateDeployment type:string',
  RollingUpdateDeployment: 'maxSurge:string|number maxUnavailable:string|number',
  LabelSelector: 'matchLabels:{string}',
  PodTemplateSpec: 'metadata:ObjectMeta spec:PodSpec',
  PodSpec:
    'activeDeadlineSeconds:number automountServiceAccountToken:boolean containers!:[Container] dnsPolicy:string enableServiceLinks:boolean hostIPC:boolean hostNetwork:boolean hostPID:boolean hostUsers:boolean hostname:string initContainers:[Container] nodeName:string nodeSelector:{string} overhead:{string|number} preemptionPolicy:string priority:number priorityClassName:string resources:ResourceRequirements restartPolicy:string runtimeClassName:string schedulerName:string securityContext:PodSecurityContext serviceAccount:string serviceAccountName:string setHostnameAsFQDN:boolean shareProcessNamespace:boolean subdomain:string terminationGracePeriodSeconds:number topologySpreadConstraints:[TopologySpreadConstraint] volumes:[Volume]',
  PodSecurityContext:
    'fsGroup:number fsGroupChangePolicy:string runAsGroup:number runAsNonRoot:boolean runAsUser:number seLinuxChangePolicy:string seccompProfile:SeccompProfile supplementalGroups:[number] supplementalGroupsPolicy:string',
  SeccompProfile: 'localhostProfile:string type!:string',
  TopologySpreadConstraint:
    'labelSelector:LabelSelector matchLabelKeys:[string] maxSkew!:number minDomains:number nodeAffinityPolicy:string nodeTaintsPolicy:string topologyKey!:string whenUnsatisfiable!:string',
  Container:
    'args:[string] command:[string] env:[EnvVar] image!:string imagePullPolicy:string livenessProbe:Probe name!:string ports:[ContainerPort] readinessProbe:Probe resources:ResourceRequirements restartPolicy:string securityContext:SecurityContext startupProbe:Probe stdin:boolean stdinOnce:boolean terminationMessagePath:string terminationMessagePolicy:string tty:boolean volumeMounts:[VolumeMount] workingDir:string',
  ContainerPort: 'containerPort!:number hostIP:string hostPort:number name:string protocol:string',
  Probe:
    'failureThreshold:number httpGet:HTTPGetAction initialDelaySeconds:number periodSeconds:number successThreshold:number terminationGracePeriodSeconds:number timeoutSeconds:number',
  HTTPGetAction: 'host:string path:string port!:string|number scheme:string',
  SecurityContext:
    'allowPrivilegeEscalation:boolean capabilities:Capabilities privileged:boolean procMount:string readOnlyRootFilesystem:boolean runAsGroup:number runAsNonRoot:boolean runAsUser:number seccompProfile:SeccompProfile',
  Capabilities: 'add:[string] drop:[string]',
  ResourceRequirements: 'limits:{string|number} requests:{string|number}',
  VolumeMount:
    'mountPath!:string mountPropagation:string name!:string readOnly:boolean recursiveReadOnly:string subPath:string subPathExpr:string',
  Volume:
    'configMap:ConfigMapVolumeSource emptyDir:EmptyDirVolumeSource name!:string secret:SecretVolumeSource',
  ConfigMapVolumeSource: 'defaultMode:number name!:string optional:boolean',
  SecretVolumeSource: 'defaultMode:number optional:boolean secretName!:string',
  EmptyDirVolumeSource: 'medium:string sizeLimit:string|number',
  NetworkPolicy: 'apiVersion:string kind:string metadata:ObjectMeta spec!:NetworkPolicySpec',
  NetworkPolicySpec:
    'egress:[NetworkPolicyEgressRule] ingress:[NetworkPolicyIngressRule] podSelector!:LabelSelector policyTypes:[string]',
  NetworkPolicyIngressRule: 'from:[NetworkPolicyPeer] ports:[NetworkPolicyPort]',
  NetworkPolicyPeer: 'ipBlock:IPBlock namespaceSelector:LabelSelector podSelector:LabelSelector',
  NetworkPolicyPort: 'endPort:number port:string|number protocol:string',
  NetworkPolicyEgressRule: 'ports:[NetworkPolicyPort] to:[NetworkPolicyPeer]',
  IPBlock: 'cidr!:string except:[string]',
  Service: 'apiVersion:string kind:string metadata:ObjectMeta spec!:ServiceSpec',
  ServiceSpec:
    'allocateLoadBalancerNodePorts:boolean clusterIP:string clusterIPs:[string] externalIPs:[string] externalName:string externalTrafficPolicy:string healthCheckNodePort:number internalTrafficPolicy:string ipFamilies:[string] ipFamilyPolicy:string loadBalancerClass:string loadBalancerIP:string loadBalancerSourceRanges:[string] ports:[ServicePort] publishNotReadyAddresses:boolean selector:{string} sessionAffinity:string trafficDistribution:string type:string',
  ServicePort:
    'appProtocol:string name:string nodePort:number port!:number protocol:string targetPort:string|number',
  EnvVar: 'name!:string value:string',
};

const fieldsOf = (type: string): Map<string, { readonly type: string; readonly wanted: boolean }> =>
  new Map(
    (types[type] ?? '').split(' ').map((field) => {
      const [, name = '', wanted, inside = ''] = /^(\w+)(!?):(.+)$/.exec(field) ?? [];
      return [name, { type: inside, wanted: wanted === '!' }];
    }),
  );

/** Each a sentence with its place: `Deployment.spec.replica: no such field`. */
export function fieldFaults(value: unknown, type: string, place = type): readonly string[] {
  if (/^(string|number|boolean)\b/.test(type))
    return type.split('|').includes(typeof value) ? [] : [`${place}: must be ${type}`];
  const inside = type.slice(1, -1);
  if (type.startsWith('['))
    return Array.isArray(value)
      ? value.flatMap((each, index) => fieldFaults(each, inside, `${place}[${index}]`))
      : [`${place}: must be a list`];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${place}: must be a map`];
  if (type.startsWith('{'))
    return Object.entries(value).flatMap(([key, each]) => fieldFaults(each, inside, `${place}.${key}`));
  const fields = fieldsOf(type);
  const missing = [...fields].filter(([name, { wanted }]) => wanted && !(name in value));
  return [
    ...missing.map(([name]) => `${place}.${name}: is missing`),
    ...Object.entries(value).flatMap(([name, each]) => {
      const field = fields.get(name);
      return field === undefined
        ? [`${place}.${name}: no such field`]
        : fieldFaults(each, field.type, `${place}.${name}`);
    }),
  ];
}
