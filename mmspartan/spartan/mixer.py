"""The protocol between :class:`~mmspartan.spartan.backbone.SpaRTANBlock` and its mixers.

A mixer is a module of the registry ``MODELS``, named by ``smixer=dict(type=...)`` or ``cmixer=dict(type=...)`` of the
backbone. It maps features ``(B, C, H, W)`` to the same shape. It is built with these keyword arguments and those of its
config:

* ``channels`` (int): Channels C in and out.
* ``depthwise`` (bool), of ``smixer`` alone: Whether the convolutions of this stage are depthwise (Table VIII).
* ``expand_ratio`` (int), of ``cmixer`` alone: N / C for N hidden channels.
* ``groups`` (int), of ``cmixer`` alone: Groups of the hidden convolution (Table VIII): N in stages of full
  convolutions, C in stages of depthwise ones.
* ``norm_cfg``, ``act_cfg`` (dict): Normalization and activation after convolutions.

LayerScale and stochastic depth belong to the block, which multiplies the mixer's output by one factor for each channel.
A mixer that ends with a 1x1 convolution ``proj_out`` may set ``takes_scale = True``: on a CPU the block then hands the
factor over as second argument, the mixer applies it to the weights of ``proj_out``, and training keeps one feature map
less.

Folding for inference knows a mixer by its type (:func:`mmspartan.nn.fold.rule`). Without a rule, only a mixer's
children that have rules are folded. If it has ``takes_scale``, LayerScale is folded into ``proj_out``.
"""
