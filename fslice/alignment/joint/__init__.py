"""Map and poses together, from images alone: random starts, then rounds of poses and map."""

from fslice.alignment.joint.infer import Joint, JointResult, infer_poses

__all__ = ["Joint", "JointResult", "infer_poses"]
