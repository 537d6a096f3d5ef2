"""Models of Tables II and III that mmpretrain, mmdet and timm do not have. Configs import what they need."""
